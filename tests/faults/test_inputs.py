"""Shards and names that are not what one would like them to be."""

import json
import os
from collections.abc import Callable

import polars as pl
import pytest

from ..project import CONCEPTS
from .conftest import Disturbed

pytestmark = pytest.mark.faults
Record = Callable[[str, int, str], None]


def test_a_shard_that_vanishes_is_cut_short_or_changes(
    done: Disturbed, undisturbed: dict[str, bytes], fault: Record
) -> None:
    shard = done.folder / "data" / "part-1.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    said = done.snakemake(fails=True)
    assert "part-1.parquet" in said
    assert "Traceback" not in said
    assert done.published() == undisturbed
    shard.unlink()
    done.snakemake()
    assert done.dictionary.manifest.captions["rows"] == 4 * 8
    done.write_shard(1, ("a ship under the sky",))
    done.snakemake()
    assert done.dictionary.manifest.captions["rows"] == 6 * 8 + 1
    shard.write_bytes(whole)
    done.snakemake()
    assert done.published() == undisturbed
    fault("a shard cut short between two runs", 1, "one line that names it; the published dictionary untouched")
    fault("a shard removed, changed, restored", 3, "the dictionary of the shards that are there, each time")


def test_a_shard_that_changes_during_the_run(done: Disturbed, fault: Record) -> None:
    # Shards are inspected apart from the counting where their duplicates are looked for.
    done.config["captions"] = {**done.config["captions"], "deduplicate": True}
    done.snakemake()
    undisturbed = done.published()
    before = (done.folder / "data" / "part-2.parquet").stat()
    done.write_shard(2, ("a boat",))
    shard = done.folder / "data" / "part-2.parquet"
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    said = done.snakemake("--forcerun", "match_shards", "--rerun-triggers", "mtime", fails=True)
    assert "part-2.parquet: changed during the run" in said
    assert done.published() == undisturbed
    fault("a shard that changes under the run's feet, its time stamp kept", 1, "refused by name; nothing published")


HOSTILE = [
    "../../escape",
    "a/b",
    'quo"te',
    "it's $(touch escaped) `x`",
    "new\nline",
    "=1+1",
    "<script>alert(1)</script>",
]


def test_hostile_names_and_captions(done: Disturbed, fault: Record) -> None:
    (done.folder / "data" / "concepts.json").write_text(json.dumps([*CONCEPTS, *HOSTILE]))
    done.config["vocabulary"] = {"source": "given", "path": "concepts.json"}
    captions = [f"a boat with {name} on the water" for name in HOSTILE] + ["boat " * 2_000_000, "\0\x1b[31m boat"]
    pl.DataFrame({"URL": ["http://x"] * len(captions), "TEXT": captions}).write_parquet(
        done.folder / "data" / "part-9.parquet"
    )
    done.snakemake()
    names = set(pl.read_parquet(done.folder / "results/small/dictionary/concepts.parquet")["concept"])
    assert {"../../escape", "a/b", "=1+1"} <= names
    assert not list(done.folder.rglob("escape*"))
    assert not (done.folder.parent / "escape").exists()
    fault(
        "names with slashes, quotes, newlines, `../`, shell and HTML; a caption of 10 MB",
        len(HOSTILE) + 2,
        "counted as text",
    )


@pytest.mark.parametrize("column", [[1, 2], [["a"], ["b"]], [b"\xff\xfe", b"a"]])
def test_a_column_of_the_wrong_type(column: list[object], done: Disturbed, fault: Record) -> None:
    pl.DataFrame({"TEXT": column}).write_parquet(done.folder / "data" / "part-9.parquet")
    binary = isinstance(column[0], bytes)
    said = done.snakemake(fails=not binary)
    assert binary or "part-9.parquet" in said
    assert "Traceback" not in said
    what = "its valid captions count" if binary else "one line that names file and type"
    fault(f"a caption column of {pl.Series(column).dtype}", 1, what)
