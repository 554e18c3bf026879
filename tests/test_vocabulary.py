"""The concept list: read, merged, mined."""

import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from contrastive_concepts.captions.manifest import inspect_shard
from contrastive_concepts.captions.shards import find_shards
from contrastive_concepts.errors import UserError
from contrastive_concepts.vocabulary.concepts import clean_name, merge_names, merged_into, read_names
from contrastive_concepts.vocabulary.mining import mine_concepts, sample_captions


def test_names_are_read_from_every_format(tmp_path: Path) -> None:
    names = ["boat", "hot_dog", "café"]
    (tmp_path / "a.txt").write_text("\ufeffboat\nhot_dog\r\ncafé\n")
    (tmp_path / "b.json").write_text(json.dumps(names))
    (tmp_path / "c.json").write_text(json.dumps(dict.fromkeys(names, 1)))
    pl.DataFrame({"count": [1, 2, 3], "concept": names}).write_parquet(tmp_path / "d.parquet")
    for file in ("a.txt", "b.json", "c.json", "d.parquet"):
        assert read_names(tmp_path / file) == names, file


def test_unreadable_vocabularies_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('["boat", 3]')
    (tmp_path / "b.json").write_text('"boat"')
    (tmp_path / "c.parquet").write_bytes(b"no")
    (tmp_path / "d.txt").write_bytes(b"caf\xe9")
    pl.DataFrame({"x": ["a"], "y": ["b"]}).write_parquet(tmp_path / "e.parquet")
    for file, message in (
        ("a.json", "entry 2: found 3"),
        ("b.json", "expected a list of concepts"),
        ("c.parquet", "not a readable vocabulary"),
        ("d.txt", "line 1: byte 3 is not UTF-8"),
        ("e.parquet", "found columns x, y; expected a text column named concept"),
        ("f.txt", "not found, expected a list of concepts"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            read_names(tmp_path / file)
        assert file in str(caught.value)


def test_duplicates_after_normalisation_are_merged_and_reported() -> None:
    names = ["dog", "Dogs", "hot_dog", "dog hot", "hot  dogs", "!!!", "", "geese", "goose", "dog"]
    concepts, merged = merge_names(names, "bag")
    assert concepts["concept"].to_list() == ["dog", "hot dog", "geese"]
    assert merged.rows() == [
        ("Dogs", "dog", "same words after normalisation"),
        ("dog hot", "hot dog", "same words after normalisation"),
        ("hot dogs", "hot dog", "same words after normalisation"),
        ("!!!", None, "no word in it"),
        ("goose", "geese", "same words after normalisation"),
        ("dog", "dog", "repeated"),
    ]
    assert merged_into(names[:3], concepts, "bag") == [0, 0, 1]


def test_word_order_tells_phrases_apart() -> None:
    concepts, _ = merge_names(["house boat", "boat house"], "phrase")
    assert concepts["concept"].to_list() == ["house boat", "boat house"]
    assert merge_names(["house boat", "boat house"], "bag")[0].height == 1


def test_names_keep_their_case_and_lose_their_underscores() -> None:
    assert clean_name(" 3D_CG  rendering ") == "3D CG rendering"


def test_mined_concepts_are_frequent_nouns_and_phrases_that_belong_together() -> None:
    captions = [f"a {colour} boat on the water" for colour in ("red", "blue", "white", "old", "new")] * 4
    captions += ["two hot dogs on a table", "a hot dog and two men", "he runs quickly to the hot dog stand"] * 4
    mined = mine_concepts(captions, size=100, min_count=4)
    counts = dict(mined.iter_rows())
    assert counts["boat"] == counts["water"] == 20
    assert counts["hot dog"] == 12
    assert counts["man"] == 4
    assert not {"quickly", "on", "run", "red boat"} & set(counts)
    assert mined["captions"].is_sorted(descending=True)
    assert mine_concepts(captions, size=2, min_count=4)["concept"].to_list() == mined["concept"].to_list()[:2]
    assert "hot dog" not in mine_concepts(captions, size=100, min_count=4, phrases=False)["concept"]


def test_the_sample_is_spread_over_the_corpus(tmp_path: Path) -> None:
    for shard in range(4):
        pl.DataFrame({"TEXT": [f"caption {shard} {row}" for row in range(250)]}).write_parquet(
            tmp_path / f"{shard}.parquet"
        )
    records = [inspect_shard(shard) for shard in find_shards(["*.parquet"], str(tmp_path))]
    sample = sample_captions(records, 100)
    assert len(sample) == 100
    assert Counter(text.split()[1] for text in sample) == {"0": 25, "1": 25, "2": 25, "3": 25}
    assert sample == sample_captions(records, 100)
    assert len(sample_captions(records, 10_000)) == 1000
