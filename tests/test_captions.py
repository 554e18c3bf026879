"""Captions in every container, sound and broken."""

import bz2
import gzip
import json
import os
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrastive_concepts.captions.duplicates import find_duplicates
from contrastive_concepts.captions.formats import count_captions, find_column, read_captions
from contrastive_concepts.captions.manifest import (
    Inspection,
    RecordBatch,
    ShardRecord,
    check_unchanged,
    inspect_batch,
    inspect_shard,
    manifest,
    read_records,
)
from contrastive_concepts.captions.shards import Shard, find_shards, shard_id
from contrastive_concepts.errors import UserError
from tests.helpers import read_all

TEXTS = ["a boat", "", None, "café ’n’ bar", 'a "quoted" one']


def write_parquet(path: Path, captions: list, name: str = "TEXT", kind: pa.DataType | None = None) -> Path:
    pq.write_table(pa.table({"URL": ["http://x/1.jpg"] * len(captions), name: pa.array(captions, kind)}), path)
    return path


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_gives_the_captions_as_they_stand(tmp_path: Path, kind: pa.DataType) -> None:
    assert read_all(write_parquet(tmp_path / "a.parquet", TEXTS, "caption", kind)) == TEXTS


def test_parquet_column_is_found_whatever_its_case(tmp_path: Path) -> None:
    for name in ("TEXT", "caption", "Text"):
        assert find_column(str(write_parquet(tmp_path / "a.parquet", TEXTS, name)), "parquet", None) == name


def test_cc3m_and_cc12m_have_their_captions_in_different_columns(tmp_path: Path) -> None:
    cc3m, cc12m = tmp_path / "cc3m.tsv", tmp_path / "cc12m.tsv.gz"
    cc3m.write_text('a "big" boat\thttp://x/1.jpg\nsky\thttp://x/2.jpg\n')
    cc12m.write_bytes(gzip.compress(b'http://x/1.jpg\ta "big" boat\nhttp://x/2.jpg\tsky\n'))
    assert read_all(cc3m) == read_all(cc12m) == ['a "big" boat', "sky"]


def test_tsv_with_a_header_and_ragged_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("url\tcaption\r\nhttp://x\tone\r\nhttp://y\r\nhttp://z\tthree\tmore\r\n")
    assert read_all(path, "caption") == ["one", None, "three"]
    assert read_all(path, 1) == read_all(path) == ["one", None, "three"]


def test_flickr_and_coco(tmp_path: Path) -> None:
    flickr, coco = tmp_path / "results.token.txt.bz2", tmp_path / "captions.json"
    flickr.write_bytes(bz2.compress(b"1.jpg#0\ta boat .\n1.jpg#1\ta ship .\n"))
    coco.write_text(
        json.dumps(
            {"images": [], "annotations": [{"image_id": 1, "caption": "a boat"}, {"image_id": 1, "caption": "sky"}]}
        )
    )
    assert read_all(flickr) == ["a boat .", "a ship ."]
    assert read_all(coco) == ["a boat", "sky"]


def test_broken_text_reaches_the_matching_stage(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b"caf\xe9 and sky\thttp://x\n")
    assert next(read_captions(str(path), "tsv", 0)).to_pylist() == [b"caf\xe9 and sky"]


@given(st.lists(st.one_of(st.none(), st.text(max_size=20)), min_size=1, max_size=50), st.integers(1, 7))
def test_parquet_round_trip(tmp_path_factory: pytest.TempPathFactory, captions: list[str | None], batch: int) -> None:
    path = write_parquet(tmp_path_factory.mktemp("p") / "a.parquet", captions, kind=pa.string())
    read = [value for array in read_captions(str(path), "parquet", "TEXT", batch) for value in array.to_pylist()]
    assert read == captions
    assert count_captions(str(path), "parquet", "TEXT").rows == len(captions)


def test_a_truncated_parquet_file_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", TEXTS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"a\.parquet: not a readable parquet file"):
        inspect_shard(Shard("a", str(path)))
    record = inspect_shard(Shard("a", str(path)), on_bad_shard="skip")
    assert record.rows == 0
    assert "not a readable parquet file" in str(record.skipped)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"URL": ["x"], "n": [1]}, "found columns URL, n; expected one named TEXT or caption"),
        ({"TEXT": [1.5]}, "column 'TEXT' holds double, expected text"),
        ({"TEXT": [["a"]]}, "column 'TEXT' holds list"),
    ],
)
def test_a_parquet_file_without_captions_says_what_it_has(tmp_path: Path, content: dict, message: str) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(content), path)
    with pytest.raises(UserError, match=message):
        inspect_shard(Shard("a", str(path)))


def test_other_bad_shards_are_one_clear_line(tmp_path: Path) -> None:
    wrong = tmp_path / "a.xls"
    wrong.write_text("x")
    broken = tmp_path / "b.json"
    broken.write_text('{"annotations": [{"caption": "a"')
    empty = tmp_path / "c.json"
    empty.write_text('{"images": []}')
    squeezed = tmp_path / "d.tsv.gz"
    squeezed.write_bytes(gzip.compress(b"a boat\thttp://x\n" * 1000)[:-30])
    for path, message in (
        (wrong, "layout not known"),
        (broken, "not a readable coco file"),
        (empty, "found no annotations"),
        (squeezed, "not a readable tsv file"),
        (tmp_path / "missing.tsv", "no such file"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            inspect_shard(Shard("x", str(path)))
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_manifest_identifies_each_shard(tmp_path: Path) -> None:
    first = write_parquet(tmp_path / "a.parquet", TEXTS)
    records = [inspect_shard(shard) for shard in find_shards(["*.parquet"], str(tmp_path))]
    table = manifest(records)
    assert table.select("path", "rows", "column", "skipped").rows() == [(str(first), 5, "TEXT", None)]
    assert table["bytes"][0] == first.stat().st_size
    assert len(table["sha256"][0]) == 64
    check_unchanged(records[0])
    os.utime(first, ns=(1, 1))
    with pytest.raises(UserError, match="changed during the run"):
        check_unchanged(records[0])


def test_a_bad_shard_of_a_corpus_is_read_as_skipped(tmp_path: Path) -> None:
    """A job that has one shard before it does not take it for the corpus."""
    (tmp_path / "a.parquet").write_bytes(b"no")
    record = inspect_shard(Shard("a", str(tmp_path / "a.parquet")), on_bad_shard="skip")
    RecordBatch(inspection=Inspection(), records=[record]).save(tmp_path / "a.json")
    assert read_records([str(tmp_path / "a.json")]) == [record]


def test_a_batch_is_inspected_again_only_where_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write_parquet(tmp_path / f"{name}.parquet", TEXTS) for name in "ab"]
    shards, file, asked = find_shards(["*.parquet"], str(tmp_path)), tmp_path / "batch.json", Inspection(code="1")
    first = inspect_batch(shards, [str(path) for path in paths], asked, file, threads=2)
    assert first.records == [inspect_shard(shard) for shard in shards]
    first.save(file)
    seen: list[str] = []

    def inspected(shard: Shard, *arguments: object) -> ShardRecord:
        seen.append(shard.path)
        return inspect_shard(shard, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("contrastive_concepts.captions.manifest.inspect_shard", inspected)
    assert inspect_batch(shards, [], asked, file) == first
    assert seen == []
    write_parquet(paths[1], [*TEXTS, "one more"])
    assert inspect_batch(shards, [], asked, file).records[1].rows == 6
    assert seen == [str(paths[1])]
    inspect_batch(shards, [], Inspection(code="2"), file)
    assert seen == [str(paths[1]), *map(str, paths)]


def test_a_corpus_of_bad_shards_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no")
    record = inspect_shard(Shard("a", str(tmp_path / "a.parquet")), on_bad_shard="skip")
    with pytest.raises(UserError, match="none of the 1 shards is readable"):
        manifest([record])


def test_shards_of_one_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write_parquet(tmp_path / folder / "part 0;$(id).parquet", TEXTS)
    shards = find_shards(["**/*.parquet", "x/*.parquet"], str(tmp_path))
    assert len(shards) == len({shard.shard for shard in shards}) == 2
    assert all(shard.shard.replace("-", "").isalnum() for shard in shards)
    # The identifier does not depend on where the data folder lies.
    assert shards[0].shard == shard_id("x/part 0;$(id).parquet")


def test_the_data_folder_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "corpus [v1]*"
    folder.mkdir()
    path = write_parquet(folder / "a.parquet", TEXTS)
    assert [shard.path for shard in find_shards(["*.parquet"], str(folder))] == [str(path)]
    assert [shard.path for shard in find_shards([str(tmp_path / "*" / "*.parquet")], "elsewhere")] == [str(path)]


def test_a_pattern_that_finds_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"captions\.shards: 'nothing/\*' names no file"):
        find_shards(["nothing/*"], str(tmp_path))


def test_urls_are_read_and_globbed() -> None:
    from hashlib import sha256

    import fsspec

    memory = fsspec.filesystem("memory")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"TEXT": TEXTS}), sink)
    for name in ("a", "b"):
        memory.pipe(f"/corpus/{name}.parquet", sink.getvalue().to_pybytes())
    shards = find_shards(["memory://corpus/*.parquet"])
    assert [shard.path for shard in shards] == ["memory:///corpus/a.parquet", "memory:///corpus/b.parquet"]
    record = inspect_shard(shards[0])
    assert record.rows == 5
    # To take its checksum would be to fetch the whole of it.
    assert record.sha256 is None
    assert inspect_shard(shards[0], checksum="sha256").sha256 == sha256(sink.getvalue()).hexdigest()
    check_unchanged(record)
    memory.pipe("/corpus/a.parquet", b"")
    with pytest.raises(UserError, match=r"a\.parquet: changed during the run"):
        check_unchanged(record)


def test_duplicates_leave_the_first_of_each_text(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ["boat", "sky", None, "boat", ""])
    (tmp_path / "b.tsv").write_bytes(
        b"sky\thttp://x\nSky\thttp://x\nd\xe9j\xe0\thttp://x\nd\xe9j\xe0\thttp://x\n\thttp://x\n"
    )
    records = [inspect_shard(shard) for shard in find_shards(["a.parquet", "b.tsv"], str(tmp_path))]
    a, b = (record.shard for record in records)
    found = find_duplicates(records, tmp_path)
    assert found.rows() == [(a, 3), (b, 0), (b, 3), (b, 4)]
    assert found.schema == {"shard": pl.String, "row": pl.Int64}


def test_real_shards_are_read_to_the_last_row(captions_dir: Path) -> None:
    expected = {
        "redcaps_explore_*.parquet": 321_338,
        "laion_sample_10k.parquet": 10_000,
        "laion2b_korean_10k.parquet": 10_000,
        "cc3m_val.tsv": 15_833,
        "coco_mini_captions_val2017.json": 395,
        "flickr8k_head2000.token.txt": 2_000,
    }
    for pattern, rows in expected.items():
        records = [inspect_shard(shard) for shard in find_shards([pattern], str(captions_dir))]
        assert sum(record.rows for record in records) == rows, pattern
