"""Parquet files of kilobytes that unpack to gigabytes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

MB = 1 << 20
BOAT = "boat on water "


class Bomb(NamedTuple):
    """`says`: part of what comes of it, the statistics or the refusal."""

    write: Callable[[Path], None]
    says: str


def write_table(path: Path, chunks: Sequence[pa.Array], **coded: object) -> None:
    """One row group with the column TEXT; equal chunks share their memory."""
    table = pa.table({"TEXT": pa.chunked_array(chunks)})
    pq.write_table(table, path, row_group_size=1 << 30, compression="zstd", **coded)


def lie(path: Path, truth: int, claim: int) -> None:
    """Change the first number of the footer that is `truth`."""
    whole = path.read_bytes()
    length = int.from_bytes(whole[-8:-4], "little")
    body, footer = whole[: -8 - length], whole[-8 - length : -8]
    assert _varint(truth) in footer
    footer = footer.replace(_varint(truth), _varint(claim), 1)
    path.write_bytes(body + footer + len(footer).to_bytes(4, "little") + b"PAR1")


def _varint(number: int) -> bytes:
    """As Thrift writes it."""
    rest, found = number << 1, b""
    while rest > 0x7F:
        found += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return found + bytes([rest])


def same_short(path: Path) -> None:
    write_table(path, [pa.array([BOAT] * 1_000_000)] * 100)


def same_long(path: Path) -> None:
    write_table(path, [pa.array([BOAT * 70_000] * 50)] * 30)


def distinct_long(path: Path) -> None:
    write_table(path, [pa.array([BOAT * 70_000] * 50)] * 30, use_dictionary=False)


def prefixes(path: Path) -> None:
    """Each value says that it repeats the one before it."""
    coded = {"use_dictionary": False, "column_encoding": {"TEXT": "DELTA_BYTE_ARRAY"}}
    write_table(path, [pa.array([BOAT * 70_000] * 50)] * 30, **coded)


def one_huge(path: Path) -> None:
    """The footer says that it is a hundred bytes."""
    write_table(path, [pa.array([BOAT * 75_000_000])], write_statistics=False, use_dictionary=False)
    lie(path, pq.ParquetFile(path).metadata.row_group(0).column(0).total_uncompressed_size, 100)
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).total_uncompressed_size == 100


def many_columns(path: Path) -> None:
    one = pa.array([1], pa.int8())
    table = pa.table({"TEXT": ["boat"]} | {f"c{number}": one for number in range(10_000)})
    pq.write_table(table, path, write_statistics=False, store_schema=False)


def nested(path: Path) -> None:
    """A neighbour of the captions, lists in lists."""
    kind, value = pa.int8(), 1
    for _ in range(200):
        kind, value = pa.list_(kind), [value]
    pq.write_table(pa.table({"TEXT": ["boat"], "deep": pa.array([value], kind)}), path)


BOMBS = {
    "100 million times the same caption": Bomb(same_short, "'matched': 100000000"),
    "a caption of 1 MB, 1,500 times": Bomb(same_long, "'gigantic': 1500"),
    "1,500 captions of 1 MB, packed": Bomb(distinct_long, "'gigantic': 1500"),
    "1,500 captions of 1 MB, each by reference to the one before": Bomb(prefixes, "'gigantic': 1500"),
    "one caption of 1 GB, of which the footer says 100 bytes": Bomb(one_huge, "unpacks to 1,050,000,010 bytes"),
    "10,000 columns": Bomb(many_columns, "'matched': 1"),
    "a column of lists, 200 deep": Bomb(nested, "too deeply nested"),
}
