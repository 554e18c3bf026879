"""Read captions as Arrow arrays of bytes from every supported file format.

Captions are not decoded here. Text with an invalid encoding is passed on unchanged to the matching stage, which counts
it. `MOST_BYTES` and `BATCH_BYTES` bound the memory, even if a small file unpacks to a large one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import ijson
import pyarrow as pa
import pyarrow.parquet as pq

from contrastive_concepts.captions import delimited
from contrastive_concepts.captions.columns import known_column, named_column
from contrastive_concepts.captions.delimited import AT_MOST, MOST_BYTES, column_values, find_text_column
from contrastive_concepts.captions.files import file_name, is_url, open_ranges, reachable
from contrastive_concepts.captions.packing import DAMAGED, open_text, unpacked_name
from contrastive_concepts.captions.parquet_column import ParquetColumn
from contrastive_concepts.errors import UserError, one_line

BATCH_ROWS = 16_384
BATCH_BYTES = 1 << 26
"""Most bytes of a batch: a batch has fewer rows if its captions could be longer in total."""
UNREADABLE = (OSError, pa.ArrowException, ijson.JSONError, ValueError, *DAMAGED)
ENDINGS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".csv": "csv",
    ".json": "coco",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".token": "flickr",
    ".token.txt": "flickr",
}
TABLES: dict[str, Callable[[str, IO[bytes]], delimited.Table]] = {
    "tsv": delimited.tsv_table,
    "csv": delimited.csv_table,
}


def detect_format(path: str) -> str:
    """The layout that a file name implies: parquet, tsv, csv, jsonl, coco or flickr. Raises UserError for others."""
    name = unpacked_name(path)
    layout = next((layout for ending, layout in ENDINGS.items() if name.endswith(ending)), None)
    if layout is None:
        raise UserError(
            f"{path}: layout not known by this name, expected .parquet, .tsv, .csv, .jsonl, .json (COCO) or .token.txt "
            "(Flickr), packed as .gz, .bz2, .xz, .zst, .lz4 or .zip; set captions.format"
        )
    return layout


def find_column(path: str, layout: str, column: str | int | None) -> str | int | None:
    """The caption column: the configured one, after a check that it exists, else a detected one; None for COCO, Flickr.

    For a text table, a name means that its first row is a header. Raises UserError if the file cannot be read, if the
    column is missing, or if the caption column is ambiguous.
    """
    with readable(path, layout):
        if layout == "parquet":
            _check_unpacked(path)
            with open_ranges(path) as file:
                return _parquet_column(path, pq.ParquetFile(file).schema_arrow, column)
        if layout in TABLES:
            with open_text(path) as file:
                return find_text_column(path, TABLES[layout](path, file), column)
        if layout == "jsonl":
            with open_text(path) as file:
                return delimited.json_column(path, file, column)
        return None


def read_captions(path: str, layout: str, column: str | int | None, batch_rows: int = BATCH_ROWS) -> Iterator[pa.Array]:
    """Yield arrays of captions (string or binary, plain or large, with nulls), at most `batch_rows` each.

    `column` is the result of `find_column`. Raises UserError if the file is unreadable.
    """
    with readable(path, layout):
        if layout == "parquet":
            yield from _read_parquet(path, column, batch_rows)
            return
        with open_text(path) as file:
            yield from _batches(_values(path, layout, file, column), batch_rows)


@dataclass(frozen=True)
class CaptionCount:
    """`rows`: number of captions, nulls included. `has_text`: False if all captions are known to be null. `untyped`:
    the column has only nulls and the type null, as pandas writes it."""

    rows: int
    has_text: bool
    untyped: bool = False


def count_captions(path: str, layout: str, column: str | int | None) -> CaptionCount:
    """Count the captions: from the footer and its statistics in a parquet file, else by reading the file."""
    if layout == "parquet":
        with readable(path, layout), open_ranges(path) as file:
            captions = ParquetColumn(file, str(column))
            untyped = pa.types.is_null(captions.kind)
            return CaptionCount(captions.rows, not untyped and captions.nulls < captions.rows, untyped)
    rows, text = 0, False
    for batch in read_captions(path, layout, column):
        rows += len(batch)
        text = text or any(map(_is_text, batch))
    return CaptionCount(rows, text)


def _is_text(caption: pa.Scalar) -> bool:
    value = caption.as_py()
    try:
        return bool(value and value.decode().strip())
    except UnicodeDecodeError:
        return False


@contextmanager
def readable(path: str, layout: str) -> Iterator[None]:
    """Turn failures to parse a file into UserError. Failures to reach it are handled by `reachable`."""
    with reachable(path):
        try:
            yield
        except UserError:
            raise
        except UNREADABLE as error:
            if isinstance(error, OSError) and (is_url(path) or error.errno):
                raise
            raise UserError(f"{path}: not a readable {layout} file ({one_line(error)})") from None


def _values(path: str, layout: str, file: IO[bytes], column: Any) -> Iterator[bytes | None]:
    if layout in TABLES:
        return column_values(path, TABLES[layout](path, file), column)
    if layout == "jsonl":
        return delimited.json_captions(path, file, column)
    if layout == "flickr":
        return delimited.flickr_captions(path, file)
    return _coco_captions(path, file)


def _check_unpacked(path: str) -> None:
    if unpacked_name(path) != file_name(path).lower():
        raise UserError(
            f"{path}: found a packed parquet file, expected one that is not (parquet packs itself); unpack it"
        )


def _parquet_column(path: str, schema: pa.Schema, column: str | int | None) -> str:
    if isinstance(column, int):
        raise UserError(f"{path}: captions.column is {column}, expected a column's name in a parquet file")
    texts = [name for name in schema.names if _is_text_type(schema.field(schema.names.index(name)).type)]
    found = named_column(schema.names, column) if column else known_column(texts) or known_column(schema.names)
    if found is None:
        wanted = repr(column) if column else "one named TEXT or caption, or to be told which it is"
        raise UserError(f"{path}: found columns {', '.join(schema.names)}; expected {wanted} (captions.column)")
    if found not in texts:
        kind = schema.field(schema.names.index(found)).type
        raise UserError(f"{path}: column {found!r} holds {kind}, expected text")
    return found


def _is_text_type(kind: pa.DataType) -> bool:
    text = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_string(text)
        or pa.types.is_large_string(text)
        or pa.types.is_string_view(text)
        or pa.types.is_binary(text)
        or pa.types.is_large_binary(text)
        or pa.types.is_binary_view(text)
        or pa.types.is_null(text)  # pandas writes this type for a column without values
    )


def _read_parquet(path: str, column: Any, batch_rows: int) -> Iterator[pa.Array]:
    with open_ranges(path) as file:
        captions = ParquetColumn(file, column)
        for group in range(captions.row_groups):
            longest = captions.fetch(group)
            if longest > MOST_BYTES:
                raise UserError(f"{path}: a page of column {column!r} unpacks to {longest:,} bytes, {AT_MOST}")
            yield from map(_plain, captions.batches(group, batch_rows, BATCH_BYTES))


def _plain(batch: pa.Array) -> pa.Array:
    """The texts as an array type that supports take and filter: not a dictionary, view or null array."""
    if pa.types.is_dictionary(batch.type):
        batch = batch.dictionary_decode()
    if pa.types.is_null(batch.type):
        return pa.nulls(len(batch), pa.string())
    if pa.types.is_string_view(batch.type) or pa.types.is_binary_view(batch.type):
        return batch.cast(pa.large_string() if pa.types.is_string_view(batch.type) else pa.large_binary())
    return batch


def _coco_captions(path: str, file: IO[bytes]) -> Iterator[bytes | None]:
    """Yield annotations[].caption. Raises UserError if there is no list of annotations, or none has a caption."""
    events = ijson.parse(file)
    listed = any(prefix == "annotations" and event == "start_array" for prefix, event, _ in events)
    inside = False
    found = False
    for prefix, event, value in events:
        if (prefix, event) == ("annotations", "end_array"):
            break
        inside = True
        if prefix == "annotations.item.caption":
            if event not in ("string", "null"):
                raise UserError(f"{path}: annotations[].caption holds {event}, expected text")
            found = True
            yield None if value is None else value.encode("utf-8", "surrogatepass")
    if listed:
        for _ in events:  # reads to the end, because the file can be truncated
            pass
    if not listed or (inside and not found):
        raise UserError(f"{path}: found no annotations[].caption, expected COCO's caption layout")


def _batches(values: Iterator[bytes | None], batch_rows: int) -> Iterator[pa.Array]:
    batch: list[bytes | None] = []
    size = 0
    for value in values:
        batch.append(value)
        size += len(value) if value is not None else 0
        if len(batch) == batch_rows or size >= BATCH_BYTES:
            yield pa.array(batch, pa.binary())
            batch, size = [], 0
    if batch:
        yield pa.array(batch, pa.binary())
