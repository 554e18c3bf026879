"""Small files that unpack to gigabytes: counted within bounds, or refused by a line that names them."""

import gzip
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contrastive_concepts.captions.formats import count_captions, find_column, read_captions
from contrastive_concepts.errors import UserError

from .bombs import BOMBS, MB, lie, write_table

BOUND = 900 * MB
"""Of the whole process; a rule of matching asks for 1500 MB. Unbounded, these take 3 GB and more."""

COUNT = r"""
import re, sys
from contrastive_concepts.captions.manifest import inspect_shard
from contrastive_concepts.captions.shards import Shard
from contrastive_concepts.cooccurrence.shard import count_shard
from contrastive_concepts.errors import UserError
from contrastive_concepts.matching.lexicon import Lexicon
try:
    record = inspect_shard(Shard("bomb", sys.argv[1]))
    print(count_shard(record, Lexicon.build(["boat", "water"]), 100_000, (), "fail")[1])
except UserError as error:
    print("refused:", error)
print(int(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1]) << 10)
"""


@pytest.mark.faults
@pytest.mark.parametrize("name", BOMBS)
def test_memory_is_bounded(name: str, fault: Callable[[str, int, str], None], tmp_path: Path) -> None:
    bomb = BOMBS[name]
    shard = tmp_path / "bomb.parquet"
    bomb.write(shard)
    assert shard.stat().st_size < 5 * MB
    command = [sys.executable, "-c", COUNT, str(shard)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout.splitlines()
    assert len(said) == 2
    assert bomb.says in said[0]
    assert "refused" not in said[0] or str(shard) in said[0]
    peak = int(said[1])
    assert peak < BOUND
    outcome = "refused by a line that names it" if "refused" in said[0] else "counted"
    fault(f"a parquet file of {shard.stat().st_size:,} bytes: {name}", 1, f"{outcome}; the job took {peak // MB} MB")


@pytest.mark.parametrize("coded", [{}, {"use_dictionary": False}, {"data_page_version": "2.0"}, {"compression": "none"},
    {"use_dictionary": False, "column_encoding": {"TEXT": "DELTA_BYTE_ARRAY"}}, {"row_group_size": 700},
    {"use_dictionary": False, "column_encoding": {"TEXT": "DELTA_LENGTH_BYTE_ARRAY"}},
    {"dictionary_pagesize_limit": 1000, "data_page_size": 500}])  # fmt: skip
def test_what_is_read_is_what_was_written(coded: dict[str, object], tmp_path: Path) -> None:
    chance = random.Random(0)
    texts = [
        None if chance.random() < 0.1 else "word " * chance.randrange(9) + str(chance.random()) for _ in range(2000)
    ]
    for kind in (pa.string(), pa.large_binary()):
        table = pa.table({"URL": texts, "TEXT": pa.array(texts).cast(kind)})
        pq.write_table(table, tmp_path / "a.parquet", **coded)
        read = [batch.cast(pa.string()) for batch in read_captions(str(tmp_path / "a.parquet"), "parquet", "TEXT")]
        assert [text for batch in read for text in batch.to_pylist()] == texts


def test_damage_anywhere_is_a_line(tmp_path: Path) -> None:
    """Bytes changed at random, half of the time among the last thousand, where the footer is."""
    shard = tmp_path / "damaged.parquet"
    write_table(shard, [pa.array([f"a boat and {number} dogs" for number in range(20_000)])])
    whole, chance = shard.read_bytes(), random.Random(0)
    refused: list[str] = []
    for number in range(200):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 3, 20))):
            damaged[chance.randrange(len(whole) - 1000 if number % 2 else 0, len(whole))] = chance.randrange(256)
        shard.write_bytes(damaged)
        try:
            column = find_column(str(shard), "parquet", "TEXT")
            count_captions(str(shard), "parquet", column)
            list(read_captions(str(shard), "parquet", column))
        except UserError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert all(said.startswith(str(shard)) and "\n" not in said for said in refused)


@pytest.mark.parametrize("shift", [-1, 10**6, 10**15])
def test_a_column_that_lies_outside_the_file(shift: int, tmp_path: Path) -> None:
    shard = tmp_path / "a.parquet"
    write_table(shard, [pa.array([f"{number}" for number in range(50_000)])])
    size = pq.ParquetFile(shard).metadata.row_group(0).column(0).total_compressed_size
    lie(shard, size, size + shift)
    with pytest.raises(UserError, match=r"a\.parquet: not a readable parquet file"):
        list(read_captions(str(shard), "parquet", "TEXT"))


@pytest.mark.parametrize("name", ["a.tsv.gz", "a.token.txt.gz"])
def test_a_line_that_never_ends(name: str, tmp_path: Path) -> None:
    with gzip.open(tmp_path / name, "wb", compresslevel=1) as file:
        file.write(b"one.jpg#0\tboat\n")
        for _ in range(140):
            file.write(b"a" * MB)
    with pytest.raises(UserError, match=r"gz: found a line of more bytes, expected at most 134,217,728"):
        list(read_captions(str(tmp_path / name), "tsv" if "tsv" in name else "flickr", 1))
