"""Captions in text tables: TSV with literal quotes, CSV with quoted fields, Flickr's token files, JSON lines."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any

from contrastive_concepts.captions.columns import (
    header_names,
    is_header,
    known_column,
    named_column,
    text_column,
)
from contrastive_concepts.errors import UserError

MOST_BYTES = 1 << 27
"""Largest line, or unpacked page of a parquet file. Most writers make pages of 1 MB, DuckDB up to 100 MB."""
AT_MOST = f"expected at most {MOST_BYTES:,}"
HEAD_ROWS = 100
HEAD_BYTES = 1 << 20
KEY = "captions.column"
SEPARATORS = (",", "\t", ";", "|")

Row = list[bytes]


@dataclass
class Table:
    """`rows`: all rows of a file. `head`: its first rows, which `rows` also yields."""

    rows: Iterator[Row]
    head: list[Row]


def lines_of(path: str, file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a text with their line ends. Raises UserError for a line of more than `MOST_BYTES`."""
    while line := file.readline(MOST_BYTES + 1):
        if len(line) > MOST_BYTES:
            raise UserError(f"{path}: found a line of more bytes, {AT_MOST}")
        yield line


def tsv_table(path: str, file: IO[bytes]) -> Table:
    """A TSV. Quotes are literal, as in CC12M."""
    head, lines = _peeked(lines_of(path, file))
    return Table((_tab_fields(line) for line in lines), [_tab_fields(line) for line in head])


def _tab_fields(line: bytes) -> Row:
    return line.rstrip(b"\r\n").split(b"\t")


def csv_table(path: str, file: IO[bytes]) -> Table:
    """A CSV. Quoted fields can contain separators, line ends and doubled quotes. The first rows give the separator.

    Reading raises csv.Error for a quote that is never closed.
    """
    head, lines = _peeked(lines_of(path, file))
    text = [line.decode("latin-1") for line in head]
    separator = _separator(text)
    options: dict[str, Any] = {"delimiter": separator, "skipinitialspace": _has_blanks(text, separator)}
    if separator == "|":
        options["quoting"] = csv.QUOTE_NONE  # In Kaggle's Flickr30k a quote is part of the caption.
    csv.field_size_limit(MOST_BYTES)
    first = list(_csv_rows(path, iter(head), options, strict=False))[:HEAD_ROWS]
    return Table(_csv_rows(path, lines, options, strict=True), first)


def _csv_rows(path: str, lines: Iterable[bytes], options: dict[str, Any], strict: bool) -> Iterator[Row]:
    taken = 0

    def counted() -> Iterator[str]:
        nonlocal taken
        for line in lines:
            taken += len(line)
            if taken > MOST_BYTES:
                raise UserError(f"{path}: found a row of more bytes, or a quote that is never closed, {AT_MOST}")
            # Every byte is a character of this encoding, so that invalid UTF-8 passes through unchanged.
            yield line.decode("latin-1")

    reader = csv.reader(counted(), strict=strict, **options)
    try:
        for row in reader:
            taken = 0
            if row:
                yield [field.encode("latin-1") for field in row]
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num}: not a row of a CSV file ({error})") from None


def _separator(head: list[str]) -> str:
    """The separator that gives a header with a known name; else the one for which the rows' lengths agree best."""

    def merit(separator: str) -> tuple[bool, float, int]:
        rows = [row for row in csv.reader(head, delimiter=separator) if row]
        widths = [len(row) for row in rows]
        if not rows or widths[0] < 2:
            return False, 0.0, 0
        named = known_column(header_names([name.encode("latin-1") for name in rows[0]])) is not None
        return named, widths.count(widths[0]) / len(widths), widths[0]

    return max(SEPARATORS, key=merit)


def _has_blanks(head: list[str], separator: str) -> bool:
    """Whether a blank follows every separator in the first line."""
    first = head[0] if head else ""
    return separator in first and first.count(separator) == first.count(f"{separator} ")


def find_text_column(path: str, table: Table, column: str | int | None) -> int | str:
    """The caption column: its name if the table has a header, else its number. Raises UserError."""
    head = table.head
    header = header_names(head[0]) if head and (isinstance(column, str) or is_header(head)) else None
    if not head:
        return 0 if column is None else column
    if isinstance(column, int):
        width = max(len(row) for row in head)
        if not 0 <= column < width:
            raise UserError(f"{path}: found {width} columns; expected one numbered {column} ({KEY})")
        unique = header is not None and column < len(header) and header.count(header[column]) == 1
        return header[column] if unique and header else column
    if header is None:
        return text_column(path, head, KEY)
    found = known_column(header) if column is None else named_column(header, column)
    if found is None:
        wanted = f"{column!r} in it" if column else "a known name of captions in it; say which it is"
        raise UserError(f"{path}: found header {', '.join(header)}; expected {wanted} ({KEY})")
    return found


def column_values(path: str, table: Table, column: int | str) -> Iterator[bytes | None]:
    """Yield the captions; None for a row without the column. If `column` is a name, the first row is a header."""
    place: int | None = column if isinstance(column, int) else None
    for row in table.rows:
        if place is None:
            names = header_names(row)
            if column not in names:
                raise UserError(f"{path}: found header {', '.join(names)}; expected {column!r} in it ({KEY})")
            place = names.index(str(column))
        else:
            yield row[place] if place < len(row) else None


def flickr_captions(path: str, file: IO[bytes]) -> Iterator[bytes | None]:
    """Yield the captions of lines `image.jpg#number TAB caption`. Raises UserError if the first lines have no tab."""
    head, lines = _peeked(lines_of(path, file))
    if head and not any(b"\t" in line for line in head):
        shown = head[0][:40].decode("utf-8", "replace").rstrip()
        raise UserError(
            f"{path}: found lines without a tab ({shown!r}), expected Flickr's image#number and caption; a table with "
            "commas or bars is captions.format: csv"
        )
    rows = (line.rstrip(b"\r\n").split(b"\t", 2) for line in lines)
    return (row[1] if len(row) > 1 else None for row in rows)


def json_column(path: str, file: IO[bytes], column: str | int | None) -> str | None:
    """The key of the captions in lines of JSON objects; None for a file without objects. Raises UserError."""
    head, _ = _peeked(lines_of(path, file))
    names = list(dict.fromkeys(key for _, entry in _objects(path, head) for key in entry))
    if isinstance(column, int):
        raise UserError(f"{path}: {KEY} is {column}, expected a key's name in lines of JSON")
    if not names:
        return column
    found = known_column(names) if column is None else named_column(names, column)
    if found is None:
        wanted = repr(column) if column else "a known name of captions; say which it is"
        raise UserError(f"{path}: found keys {', '.join(names)}; expected {wanted} ({KEY})")
    return found


def json_captions(path: str, file: IO[bytes], column: str | None) -> Iterator[bytes | None]:
    """Yield the captions of lines of JSON objects, None for an object without one. Raises UserError with the line."""
    for number, entry in _objects(path, lines_of(path, file)):
        value = None if column is None else entry.get(column)
        if value is not None and not isinstance(value, str):
            raise UserError(f"{path}: line {number}: {column!r} holds {type(value).__name__}, expected text")
        yield None if value is None else value.encode("utf-8", "surrogatepass")


def _objects(path: str, lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise UserError(f"{path}: line {number}: not JSON, expected an object a line") from None
        if not isinstance(entry, dict):
            raise UserError(f"{path}: line {number}: found {type(entry).__name__}, expected an object a line")
        yield number, entry


def _peeked(lines: Iterator[bytes]) -> tuple[list[bytes], Iterator[bytes]]:
    """The first lines, and all lines."""
    head: list[bytes] = []
    size = 0
    for line in lines:
        head.append(line)
        size += len(line)
        if len(head) == HEAD_ROWS or size >= HEAD_BYTES:
            break
    return head, chain(head, lines)
