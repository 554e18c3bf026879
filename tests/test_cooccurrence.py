"""Counting shards, merging them, frequencies over gamma."""

import os
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from contrastive_concepts.captions.manifest import ShardRecord, inspect_shard
from contrastive_concepts.captions.shards import find_shards
from contrastive_concepts.cooccurrence.batch import CountedShard, count_batch
from contrastive_concepts.cooccurrence.matrix import load_matrix, merge, merge_shards, save_matrix
from contrastive_concepts.cooccurrence.shard import count_shard
from contrastive_concepts.errors import UserError
from contrastive_concepts.matching.lexicon import Lexicon
from contrastive_concepts.selection.candidates import find_candidates
from contrastive_concepts.vocabulary.concepts import merge_names, read_names
from contrastive_concepts.vocabulary.words import words

from .helpers import written_captions, written_concepts
from .matching_reference import key_of, meant

NONE = np.empty(0, np.int64)
WORDS = ["boat", "water", "dog", "tree", "men", "goose"]


def record_of(path: Path) -> ShardRecord:
    return inspect_shard(find_shards([path.name], str(path.parent))[0])


def count(path: Path, concepts: list[str], duplicates: np.ndarray = NONE) -> np.ndarray:
    return count_shard(record_of(path), Lexicon.build(concepts, "bag"), 10_000, duplicates, "fail")[0].toarray()


def write(path: Path, captions: list[str | None]) -> Path:
    pl.DataFrame({"TEXT": captions}, schema={"TEXT": pl.String}).write_parquet(path)
    return path


def test_hand_worked_counts(tmp_path: Path) -> None:
    captions = ["Boats, boats, BOATS!", "a man and his dogs on the water", "the boat's men in water", None, "", "geese"]
    matrix = count(write(tmp_path / "a.parquet", captions), WORDS)
    assert matrix.tolist() == [
        [2, 1, 0, 0, 1, 0],
        [1, 2, 1, 0, 2, 0],
        [0, 1, 1, 0, 1, 0],
        [0, 0, 0, 0, 0, 0],
        [1, 2, 1, 0, 2, 0],
        [0, 0, 0, 0, 0, 1],
    ]


@given(
    st.lists(st.lists(st.sampled_from([*WORDS, "the", "boats", "Man"]), max_size=6), max_size=30), st.integers(0, 30)
)
def test_shards_add_up_and_the_matrix_is_sound(
    tmp_path_factory: pytest.TempPathFactory, captions: list[list[str]], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("s")
    texts = [" ".join(caption) for caption in captions]
    whole = count(write(folder / "whole.parquet", texts), WORDS)
    parts = [
        count(write(folder / f"{name}.parquet", part), WORDS) for name, part in (("a", texts[:cut]), ("b", texts[cut:]))
    ]
    assert (parts[0] + parts[1] == whole).all()
    assert (whole == whole.T).all()
    assert (whole.diagonal()[:, None] >= whole).all()
    assert whole.dtype == np.int64
    merged = merge([sparse.csr_array(part) for part in parts], len(WORDS))
    assert (merged.toarray() == whole).all()


def test_duplicates_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", ["boat", "boat water", "boat", "dog"])
    matrix, statistics = count_shard(record_of(path), Lexicon.build(WORDS, "bag"), 10_000, np.array([2]), "fail")
    assert matrix.diagonal().tolist() == [2, 1, 1, 0, 0, 0]
    assert (statistics["rows"], statistics["duplicates"]) == (3, 1)


def test_a_shard_of_repeated_captions_is_usable(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", ["boat", None, "dog"])
    lexicon = Lexicon.build(WORDS, "bag")
    count_shard(record_of(path), lexicon, 10_000, np.array([0, 2]), "fail", least_usable=0.5)
    with pytest.raises(UserError, match=r"usable captions: found 2 of 3, expected at least 90% of them"):
        count_shard(record_of(path), lexicon, 10_000, np.array([0, 2]), "fail", least_usable=0.9)


def test_odd_captions_are_counted_and_never_fatal(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b"boat \xff water\thttp://x\n\thttp://x\n" + b"boat " * 5000 + b"\thttp://x\ndog\thttp://x\n")
    matrix, statistics = count_shard(record_of(path), Lexicon.build(WORDS, "bag"), 10_000, NONE, "fail")
    assert matrix.diagonal().tolist() == [1, 1, 1, 0, 0, 0]
    assert {
        key: statistics[key] for key in ("rows", "null", "empty", "invalid_utf8", "gigantic", "matched", "mentions")
    } == {
        "rows": 4,
        "null": 0,
        "empty": 1,
        "invalid_utf8": 1,
        "gigantic": 1,
        "matched": 2,
        "mentions": 3,
    }


def count_all(folder: Path, records: list[ShardRecord], threads: int = 2, **common: object) -> list[CountedShard]:
    paths = [record.path for record in records]
    lexicon = Lexicon.build(WORDS, "bag")
    return count_batch(records, paths, lexicon, 10_000, "fail", None, None, folder, common, threads)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_counts_each_shard_as_alone(threads: int, tmp_path: Path) -> None:
    texts = [["boat water"] * number + ["dog", "tree men"] for number in range(5)]
    paths = [write(tmp_path / f"{number}.parquet", each) for number, each in enumerate(texts)]
    records = [record_of(path) for path in paths]
    counted = count_all(tmp_path / "shards", records, threads)
    assert [each.statistics["rows"] for each in counted] == [2, 3, 4, 5, 6]
    for path, each in zip(paths, counted, strict=True):
        assert (load_matrix(each.matrix).toarray() == count(path, WORDS)).all()


def test_a_batch_counts_again_only_what_changed(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.parquet", ["boat water"]) for name in "abc"]
    records = [record_of(path) for path in paths]
    folder = tmp_path / "shards"

    def counted_anew(**common: object) -> list[str]:
        before = {each.name: each.stat().st_mtime_ns for each in folder.glob("*.npz")}
        count_all(folder, [record_of(path) for path in paths], **common)
        return sorted(each.name[0] for each in folder.glob("*.npz") if before.get(each.name) != each.stat().st_mtime_ns)

    assert counted_anew() == ["a", "b", "c"]
    assert counted_anew() == []
    write(paths[1], ["boat water", "dog"])
    assert counted_anew() == ["b"]
    # A job that was killed left a matrix without its statistics.
    (folder / f"{records[2].shard}.json").unlink()
    assert counted_anew() == ["c"]
    (folder / f"{records[0].shard}.json").write_text("{")
    assert counted_anew() == ["a"]
    assert counted_anew(code="new") == ["a", "b", "c"]


def test_a_batch_killed_between_two_files_describes_no_other_matrix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = write(tmp_path / "a.parquet", ["boat water"]), tmp_path / "shards"
    records = [record_of(path)]
    count_all(folder, records, code="1")
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        replace(source, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            count_all(folder, records, code="2")
    # Back to the first code: what was counted with the second is not taken for it.
    before = next(folder.glob("*[0-9a-f].npz")).stat().st_mtime_ns
    [counted] = count_all(folder, records, code="1")
    assert counted.matrix.stat().st_mtime_ns != before


def test_a_batch_keeps_what_it_counted_before_a_bad_shard(tmp_path: Path) -> None:
    good, bad = (write(tmp_path / f"{name}.parquet", ["boat water"]) for name in ("good", "bad"))
    records = [record_of(good), record_of(bad)]
    write(bad, ["boat", "boat"])
    with pytest.raises(UserError, match=r"bad\.parquet: changed during the run"):
        count_all(tmp_path / "shards", records, threads=1)
    assert [each.name[:4] for each in (tmp_path / "shards").glob("*.json")] == ["good"]
    # A shard that changed after it was counted is not taken for the one that was counted.
    count_all(tmp_path / "shards", [record_of(good)])
    write(good, ["boat", "boat"])
    with pytest.raises(UserError, match=r"good\.parquet: changed during the run"):
        count_all(tmp_path / "shards", records[:1])


def test_a_shard_that_breaks_midway_counts_for_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", ["boat water"] * 50_000)
    record = record_of(path)
    content = bytearray(path.read_bytes())
    content[4:200] = b"\0" * 196
    path.write_bytes(content)
    record = record.model_copy(update={"modified": str(path.stat().st_mtime_ns)})
    lexicon = Lexicon.build(WORDS, "bag")
    with pytest.raises(UserError, match=r"a\.parquet: not a readable parquet file"):
        count_shard(record, lexicon, 10_000, NONE, "fail")
    matrix, statistics = count_shard(record, lexicon, 10_000, NONE, "skip")
    assert matrix.nnz == 0
    assert "not a readable parquet file" in str(statistics["skipped"])


def test_a_shard_that_changed_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", ["boat"])
    record = record_of(path)
    write(path, ["boat", "dog"])
    with pytest.raises(UserError, match="changed during the run"):
        count_shard(record, Lexicon.build(WORDS, "bag"), 10_000, NONE, "fail")


def test_gamma_is_strict_and_the_stop_list_is_marked() -> None:
    matrix = sparse.csr_array(np.array([[100, 1, 2, 50], [1, 10, 0, 0], [2, 0, 2, 0], [50, 0, 0, 50]], np.int64))
    names = ["boat", "dog", "water", "Photos"]
    found = find_candidates(matrix, names, 0.01, ["photo"], "lemma")
    assert found.rows() == [
        (0, 3, 50, 0.5, True),
        (0, 2, 2, 0.02, False),
        (1, 0, 1, 0.1, False),
        (2, 0, 2, 1.0, False),
        (3, 0, 50, 1.0, False),
    ]
    # The authors' rule compares names as they are.
    assert not find_candidates(matrix, names, 0.01, ["photo", "photos", "Photo"])["stopped"].any()
    assert find_candidates(matrix, names, 0.01, ["Photos"]).equals(found)
    # 1 / 100 is exactly gamma: not a candidate; the next smaller gamma lets it in.
    assert find_candidates(matrix, names, float(np.nextafter(0.01, 0)), []).height == 6


def test_concepts_that_no_caption_mentions_have_no_candidates() -> None:
    assert find_candidates(sparse.csr_array((3, 3), dtype=np.int64), ["a", "b", "c"], 0.0, []).height == 0


def test_matrices_are_stored_and_broken_ones_named(tmp_path: Path) -> None:
    matrix = sparse.csr_array(np.array([[2, 1], [1, 1]], np.int64))
    save_matrix(tmp_path / "x.npz", matrix)
    assert (load_matrix(tmp_path / "x.npz").toarray() == matrix.toarray()).all()
    (tmp_path / "y.npz").write_bytes(b"no")
    with pytest.raises(UserError, match=r"y\.npz: not a readable co-occurrence matrix"):
        load_matrix(tmp_path / "y.npz")
    with pytest.raises(UserError, match="expected 3"):
        merge([matrix], 3)


def test_shards_counted_under_other_settings_are_refused(tmp_path: Path) -> None:
    matrix = sparse.csr_array(np.array([[2, 1], [1, 1]], np.int64))
    settings = Lexicon.build(["dog", "cat"], "bag", "index").settings | {"max_caption_bytes": 100}
    for name, other in (
        ("a", {}),
        ("b", {}),
        ("nouns", {"nouns": "all"}),
        ("tagger", {"tagger": "spacy"}),
        ("mode", {"mode": "phrase"}),
        ("concepts", Lexicon.build(["dog", "cow"]).settings | {"nouns": "index"}),
        ("max_caption_bytes", {"max_caption_bytes": 99}),
    ):
        save_matrix(tmp_path / f"{name}.npz", matrix, settings | other)
    save_matrix(tmp_path / "untold.npz", matrix)
    same = [tmp_path / "a.npz", tmp_path / "b.npz"]
    assert (merge_shards(same, 2).toarray() == 2 * matrix.toarray()).all()
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    for name in ("nouns", "tagger", "mode", "concepts", "max_caption_bytes", "untold"):
        with pytest.raises(UserError, match=rf"{name}\.npz: counted with \w+ .*, expected .* as .*a\.npz") as caught:
            merge_shards([*same, tmp_path / f"{name}.npz"], 2)
        assert name == "untold" or f"with {name} " in str(caught.value) or name == "concepts"
    (tmp_path / "broken.npz").write_bytes(b"no")
    with pytest.raises(UserError, match=r"broken\.npz: not a readable co-occurrence matrix"):
        merge_shards([tmp_path / "broken.npz"], 2)


def brute_force(captions: list[str | None], concepts: list[str]) -> np.ndarray:
    """X by sets and loops: a concept is met when all of its lemmas are among the caption's."""
    wanted = [frozenset(key_of(concept)) for concept in concepts]
    known = {word for key in wanted for word in key}
    pairs: Counter[tuple[int, int]] = Counter()
    for caption in captions:
        met = {meaning for word in words(caption or "") for meaning in meant(word, known)}
        mentioned = [number for number, concept in enumerate(wanted) if concept <= met]
        pairs.update(product(mentioned, mentioned))
    matrix = np.zeros((len(concepts), len(concepts)), np.int64)
    for pair, number in pairs.items():
        matrix[pair] = number
    return matrix


def test_written_captions_against_brute_force(tmp_path: Path) -> None:
    concepts = merge_names(written_concepts(), "bag")[0]["concept"].to_list()
    counted = count(write(tmp_path / "written.parquet", written_captions()), concepts)
    assert (counted == brute_force(written_captions(), concepts)).all()
    assert counted.diagonal().max() > 2


def test_real_captions_against_brute_force(captions_dir: Path, lists_dir: Path, tmp_path: Path) -> None:
    concepts = merge_names(read_names(lists_dir / "ram_tag_list.txt"), "bag")[0]["concept"].to_list()
    for name in ("redcaps_explore_00.parquet", "laion_sample_10k.parquet"):
        captions = pl.read_parquet(captions_dir / name)["TEXT"].gather_every(97).to_list()[:400]
        assert (count(write(tmp_path / name, captions), concepts) == brute_force(captions, concepts)).all(), name
