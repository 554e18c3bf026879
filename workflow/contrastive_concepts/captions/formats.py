"""Reading captions as Arrow arrays of bytes, whatever container a corpus comes in.

Captions are never decoded here: text of a broken encoding reaches the matching stage as it is, where it is counted.
Memory is bounded by `MOST_BYTES` and `BATCH_BYTES`, whatever a small file unpacks to.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import IO, Any

import ijson
import pyarrow as pa
import pyarrow.parquet as pq

from contrastive_concepts.captions.files import is_url, open_file, open_ranges, reachable
from contrastive_concepts.captions.parquet_column import ParquetColumn
from contrastive_concepts.errors import UserError, one_line

BATCH_ROWS = 16_384
BATCH_BYTES = 1 << 26
"""Fewer rows are taken at a time where more bytes than these could come together."""
MOST_BYTES = 1 << 27
"""Of a line, or of a page of a parquet file, unpacked: writers make pages of 1 MB, DuckDB of up to 100 MB."""
PARQUET_NAMES = ("caption", "text", "alt_text", "alttext")
AT_MOST = f"expected at most {MOST_BYTES:,}"
UNREADABLE = (OSError, EOFError, pa.ArrowException, ijson.JSONError, ValueError)


def detect_format(path: str) -> str:
    """The layout of a shard by its name: parquet, tsv, coco or flickr. Raises UserError for any other name."""
    name = path.lower().removesuffix(".gz").removesuffix(".bz2").removesuffix(".xz").removesuffix(".zst")
    for suffix, layout in ((".parquet", "parquet"), (".pq", "parquet"), (".tsv", "tsv"), (".json", "coco")):
        if name.endswith(suffix):
            return layout
    if name.endswith((".token.txt", ".token")):
        return "flickr"
    raise UserError(
        f"{path}: layout not known by this name, expected .parquet, .tsv, .json (COCO) or .token.txt (Flickr); "
        "set captions.format"
    )


def find_column(path: str, layout: str, column: str | int | None) -> str | int | None:
    """The caption column: as configured, after a check that it is there, or found. None for COCO and Flickr.

    Raises UserError where the file cannot be read, or has no such column.
    """
    with readable(path, layout):
        if layout == "parquet":
            with open_ranges(path) as file:
                return _parquet_column(path, pq.ParquetFile(file).schema_arrow, column)
        if layout == "tsv":
            with open_file(path) as file:
                return _tsv_column(
                    path, [line.rstrip(b"\r\n").split(b"\t") for line in islice(_lines(path, file), 100)], column
                )
        return None


def read_captions(path: str, layout: str, column: str | int | None, batch_rows: int = BATCH_ROWS) -> Iterator[pa.Array]:
    """Yield arrays of captions (string or binary, with nulls), at most `batch_rows` each.

    `column` is what `find_column` returned. Raises UserError where the file turns out to be unreadable.
    """
    readers = {"parquet": _read_parquet, "tsv": _read_tsv, "coco": _read_coco, "flickr": _read_flickr}
    with readable(path, layout):
        yield from readers[layout](path, column, batch_rows)


def count_rows(path: str, layout: str, column: str | int | None) -> int:
    """Number of captions, nulls included; from the footer of a parquet file, else by reading."""
    if layout == "parquet":
        with readable(path, layout), open_ranges(path) as file:
            return int(pq.ParquetFile(file).metadata.num_rows)
    return sum(len(batch) for batch in read_captions(path, layout, column))


@contextmanager
def readable(path: str, layout: str) -> Iterator[None]:
    """Failures to make sense of a file as UserError; those to reach it are `reachable`'s."""
    with reachable(path):
        try:
            yield
        except UserError:
            raise
        except UNREADABLE as error:
            if isinstance(error, OSError) and (is_url(path) or error.errno):
                raise
            raise UserError(f"{path}: not a readable {layout} file ({one_line(error)})") from None


def _parquet_column(path: str, schema: pa.Schema, column: str | int | None) -> str:
    if isinstance(column, int):
        raise UserError(f"{path}: captions.column is {column}, expected a column's name in a parquet file")
    names = [column] if column else [name for known in PARQUET_NAMES for name in schema.names if name.lower() == known]
    if not names or names[0] not in schema.names:
        wanted = repr(column) if column else "one named TEXT or caption"
        raise UserError(f"{path}: found columns {', '.join(schema.names)}; expected {wanted} (captions.column)")
    kind = schema.field(names[0]).type
    text = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (
        pa.types.is_string(text)
        or pa.types.is_large_string(text)
        or pa.types.is_string_view(text)
        or pa.types.is_binary(text)
        or pa.types.is_large_binary(text)
    ):
        raise UserError(f"{path}: column {names[0]!r} holds {kind}, expected text")
    return names[0]


def _read_parquet(path: str, column: Any, batch_rows: int) -> Iterator[pa.Array]:
    with open_ranges(path) as file:
        captions = ParquetColumn(file, column)
        for group in range(captions.row_groups):
            longest = captions.fetch(group)
            if longest > MOST_BYTES:
                raise UserError(f"{path}: a page of column {column!r} unpacks to {longest:,} bytes, {AT_MOST}")
            yield from captions.batches(group, batch_rows, BATCH_BYTES)


def _tsv_column(path: str, rows: list[list[bytes]], column: str | int | None) -> int | str:
    width = max((len(row) for row in rows), default=1)
    if isinstance(column, str):
        names = [name.decode("utf-8", "replace") for name in rows[0]] if rows else []
        if column not in names:
            raise UserError(f"{path}: found header {', '.join(names)}; expected {column!r} in it (captions.column)")
        return column
    if column is not None:
        if not 0 <= column < width:
            raise UserError(f"{path}: found {width} columns; expected one numbered {column} (captions.column)")
        return column
    # CC3M has the caption first, CC12M and YFCC15M the address.
    for candidate in range(width):
        values = [row[candidate] for row in rows if candidate < len(row)]
        if sum(value.startswith((b"http://", b"https://")) for value in values) * 2 < max(len(values), 1):
            return candidate
    raise UserError(f"{path}: no column of text found; set captions.column")


def _read_tsv(path: str, column: Any, batch_rows: int) -> Iterator[pa.Array]:
    with open_file(path) as file:
        lines = _lines(path, file)
        if isinstance(column, str):
            column = next(lines).rstrip(b"\r\n").split(b"\t").index(column.encode())
        yield from _batches(_fields(lines, column), batch_rows, pa.binary())


def _read_flickr(path: str, column: Any, batch_rows: int) -> Iterator[pa.Array]:
    with open_file(path) as file:
        yield from _batches(_fields(_lines(path, file), 1), batch_rows, pa.binary())


def _fields(lines: Iterator[bytes], column: int) -> Iterator[bytes | None]:
    """Quotes are literal in these files; a line without the column is a null caption."""
    rows = (line.rstrip(b"\r\n").split(b"\t", column + 1) for line in lines)
    return (row[column] if column < len(row) else None for row in rows)


def _lines(path: str, file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(MOST_BYTES + 1):
        if len(line) > MOST_BYTES:
            raise UserError(f"{path}: found a line of more bytes, {AT_MOST}")
        yield line


def _read_coco(path: str, column: Any, batch_rows: int) -> Iterator[pa.Array]:
    with open_file(path) as file:
        found = 0
        for batch in _batches(ijson.items(file, "annotations.item.caption"), batch_rows, pa.string()):
            found += len(batch)
            yield batch
        if not found:
            raise UserError(f"{path}: found no annotations[].caption, expected COCO's caption layout")


def _batches(values: Iterator[Any], batch_rows: int, kind: pa.DataType) -> Iterator[pa.Array]:
    batch, size = [], 0
    for value in values:
        batch.append(value)
        size += len(value) if isinstance(value, str | bytes) else 0
        if len(batch) == batch_rows or size >= BATCH_BYTES:
            yield pa.array(batch, kind)
            batch, size = [], 0
    if batch:
        yield pa.array(batch, kind)
