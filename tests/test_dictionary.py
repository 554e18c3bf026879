"""Similarity, selection, the published folder, and asking it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from contrastive_concepts import ContrastiveConcepts
from contrastive_concepts.config.load import parse_config
from contrastive_concepts.dictionary import build as building
from contrastive_concepts.dictionary.build import build_dictionary
from contrastive_concepts.dictionary.written import build_written_dictionary
from contrastive_concepts.errors import UserError
from contrastive_concepts.selection.candidates import measure_candidates
from contrastive_concepts.selection.select import Tables, Thresholds, describe_concepts, select
from contrastive_concepts.similarity.ensemble import embed
from contrastive_concepts.similarity.store import describe_encoder

ANGLES = {"boat": 0.0, "ship": 10.0, "water": 60.0, "freedom": 80.0, "photo": 100.0, "dog": 120.0, "background": 170.0}
NAMES = list(ANGLES)
SETTINGS = parse_config(
    {
        "run": "test",
        "captions": {"source": "shards", "shards": ["*.parquet"]},
        "vocabulary": {"source": "given", "path": "concepts.txt"},
        "visibility": {"judge": "embedding"},
        "similarity": {"encoder": "sentence_transformers", "model": "unused", "templates": "none"},
    }
)


def concepts_table() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "concept_id": range(len(NAMES)),
            "concept": NAMES,
            "words": [[name] for name in NAMES],
            "count": [100, 50, 80, 10, 90, 40, 5],
        },
        schema={"concept_id": pl.Int32, "concept": pl.String, "words": pl.List(pl.String), "count": pl.Int64},
    )


def verdicts_table(**changes: Any) -> pl.DataFrame:
    table = pl.DataFrame(
        {
            "concept": NAMES,
            "p_visible": [0.1 if name == "freedom" else 0.9 for name in NAMES],
            "visible": [name != "freedom" for name in NAMES],
            "parsed": [True] * len(NAMES),
            "answer": [""] * len(NAMES),
            "judge": ["test"] * len(NAMES),
            "model": ["m"] * len(NAMES),
            "revision": ["r"] * len(NAMES),
            "prompt_hash": ["h"] * len(NAMES),
        }
    )
    return table.with_columns(**changes)


MET = [
    ("boat", "water", 40),
    ("boat", "photo", 30),
    ("boat", "ship", 20),
    ("boat", "freedom", 10),
    ("boat", "dog", 5),
    ("dog", "boat", 5),
    ("dog", "background", 4),
    ("dog", "ship", 3),
]
THRESHOLDS = Thresholds.of(SETTINGS.selection, "corpus", "drop")


def tables(vectors: Any, verdicts: pl.DataFrame | None = None, parts: pl.DataFrame | None = None) -> Tables:
    """X with the pairs of MET alone, each in one direction."""
    matrix = np.diag(concepts_table()["count"].to_numpy())
    for concept, other, captions in MET:
        matrix[NAMES.index(concept), NAMES.index(other)] = captions
    verdicts = verdicts_table() if verdicts is None else verdicts
    return Tables(concepts_table(), sparse.csr_array(matrix), verdicts, vectors, parts)


@pytest.fixture
def built(tmp_path: Path, plane_encoder: Any) -> tuple[Path, Any]:
    encoder = plane_encoder(
        {**ANGLES, "vessel": 4.0, "puppy": 118.0, "???": 250.0, "swimmer": 57.0, "background": 200.0}
    )
    folder = tmp_path / "dictionary"
    build(folder, encoder)
    return folder, encoder


def build(folder: Path, encoder: Any) -> None:
    vectors = embed(NAMES, encoder, "none")
    build_dictionary(
        folder,
        SETTINGS,
        select(tables(vectors), THRESHOLDS),
        verdicts=verdicts_table(),
        embeddings=vectors,
        encoder=describe_encoder(encoder, "none", SETTINGS.similarity.model_dump()),
    )


def test_every_candidate_is_kept_or_rejected_for_its_first_reason(built: tuple[Path, Any]) -> None:
    folder, _ = built
    kept = pl.read_parquet(folder / "contrastive_concepts.parquet")
    rejected = pl.read_parquet(folder / "rejected.parquet")
    assert kept.select("concept", "contrastive_concept", "cooccurrences", "rank").rows() == [
        ("boat", "water", 40, 1),
        ("boat", "dog", 5, 2),
        ("dog", "boat", 5, 1),
        ("dog", "background", 4, 2),
        ("dog", "ship", 3, 3),
    ]
    assert rejected.select("concept", "contrastive_concept", "reason").rows() == [
        ("boat", "photo", "stop-list"),
        ("boat", "ship", "similar"),
        ("boat", "freedom", "not visible"),
    ]
    assert kept.height + rejected.height == len(MET)
    assert kept["similarity"].to_list()[0] == pytest.approx(np.cos(np.radians(60)), abs=1e-6)


def test_parts_are_dropped_last_and_only_where_they_are_given() -> None:
    vectors = np.eye(len(NAMES), dtype=np.float32)
    parts = pl.DataFrame({"concept": ["boat", "boat", "dog"], "part": ["Water", "freedom", "water"]})
    everything = select(tables(vectors), THRESHOLDS).kept
    found = select(tables(vectors, parts=parts), THRESHOLDS)
    kept, rejected = found.kept, found.rejected
    removed = rejected.filter(pl.col("reason") == "part")
    assert removed.select("concept", "contrastive_concept").rows() == [("boat", "water")]
    assert rejected.filter(pl.col("contrastive_concept") == "freedom")["reason"].to_list() == ["not visible"]
    assert everything.height == kept.height + 1
    assert kept.filter(pl.col("concept") == "boat")["rank"].to_list() == [1, 2]


def test_written_lists_are_a_dictionary_like_any_other(tmp_path: Path, plane_encoder: Any) -> None:
    lists = {"dog": ["water", "hot dog stand", "boat"], "boat": [], "ship": ["water"]}
    encoder = plane_encoder({**ANGLES, "puppy": 118.0, "hot dog stand": 30.0})
    writer = {"judge": ["test"], "model": ["m"], "revision": ["r"], "prompt_hash": ["h"]}
    build_written_dictionary(
        tmp_path / "d",
        SETTINGS,
        lists,
        writer,
        embed(list(lists), encoder, "none"),
        describe_encoder(encoder, "none", {}),
    )
    dictionary = ContrastiveConcepts.load(tmp_path / "d", background=True, encoder=encoder)
    assert {name: dictionary[name] for name in dictionary} == {
        name: ["background", *names] for name, names in lists.items()
    }
    assert dictionary.lookup(["puppy"])[0].concept == "dog"
    counts = dictionary.manifest.counts
    assert (counts["concepts"], counts["contrastive concepts"], counts["concepts without any"]) == (3, 4, 1)
    mined = {name: pl.read_parquet(tmp_path / "d" / name).columns for name in ("concepts.parquet", "rejected.parquet")}
    assert mined["concepts.parquet"] == ["concept_id", "concept", "words", "count", "p_visible", "visible", "parsed"]
    assert mined["rejected.parquet"][-1] == "reason"


def test_delta_is_dropped_at_the_threshold_itself() -> None:
    candidates = pl.DataFrame({"concept_id": [0, 0], "candidate_id": [2, 4]})
    vectors = np.zeros((len(NAMES), 2), np.float32)
    vectors[0] = [1, 0]
    vectors[2] = [0.8, 0.6]
    vectors[4] = [np.nextafter(np.float32(0.8), np.float32(0)), 0.6]
    assert measure_candidates(candidates, vectors, 0.8)["similar"].to_list() == [True, False]


def test_unparsed_answers_follow_the_setting() -> None:
    parsed = pl.Series([name != "water" for name in NAMES])
    for unparsed, expected in (("drop", False), ("keep", True)):
        table = describe_concepts(concepts_table(), verdicts_table(parsed=parsed), unparsed)  # type: ignore[arg-type]
        assert table.filter(pl.col("concept") == "water")["visible"].item() is expected


def test_a_concept_that_was_not_judged_is_an_error() -> None:
    with pytest.raises(UserError, match="1 concepts were not judged, the first is 'boat'"):
        describe_concepts(concepts_table(), verdicts_table().tail(-1), "drop")


def test_the_manifest_accounts_for_everything(built: tuple[Path, Any]) -> None:
    manifest = json.loads((built[0] / "manifest.json").read_text())
    counts = manifest["counts"]
    assert counts["candidates"] == counts["contrastive concepts"] + sum(
        counts[key] for key in counts if key.startswith("rejected")
    )
    assert manifest["thresholds"] == {"gamma": 0.01, "delta": 0.8, "beta": 0.9}
    assert set(manifest["files"]) == {path.name for path in built[0].iterdir()} - {"manifest.json"}
    assert manifest["encoder"]["dimension"] == 2
    assert parse_config(manifest["config"]) == SETTINGS


def test_known_names_need_no_encoder(built: tuple[Path, Any]) -> None:
    folder, _ = built
    dictionary = ContrastiveConcepts.load(folder)
    assert dictionary["boat"] == ["background", "water", "dog"]
    assert dictionary["dog"] == ["background", "boat", "ship"]
    assert dictionary["water"] == ["background"]
    assert dictionary["background"] == []
    assert len(dictionary) == 7
    assert "vessel" not in dictionary
    assert ContrastiveConcepts.load(folder, background=False)["dog"] == ["boat", "background", "ship"]
    (match,) = dictionary.lookup(["BOAT"])
    assert (match.concept, match.similarity, match.far) == ("boat", 1.0, False)
    assert json.loads((folder / "dictionary.json").read_text())["boat"] == ["water", "dog"]


def test_other_texts_go_to_their_nearest_concept(built: tuple[Path, Any]) -> None:
    folder, encoder = built
    matches = ContrastiveConcepts.load(folder, encoder=encoder).lookup(["puppy", "boat", "vessel", "???"])
    assert [match.concept for match in matches] == ["dog", "boat", "boat", "background"]
    assert matches[0].similarity == pytest.approx(np.cos(np.radians(2)), abs=1e-6)
    assert [match.far for match in matches] == [False, False, False, True]


def test_a_query_is_never_its_own_negative(built: tuple[Path, Any]) -> None:
    folder, encoder = built
    encoder.angles["Water"] = 3.0
    dictionary = ContrastiveConcepts.load(folder, encoder=encoder)
    assert "water" in dictionary["boat"]
    (match,) = dictionary.lookup(["WATER "])
    assert "water" not in [name.lower() for name in match.contrastive_concepts]


def test_union_drops_what_is_near_any_query(built: tuple[Path, Any]) -> None:
    folder, encoder = built
    dictionary = ContrastiveConcepts.load(folder, encoder=encoder)
    # dog's "ship" lies 10 degrees from boat: cosine 0.985. Queries themselves are never negatives.
    assert dictionary.union(["boat", "dog"], beta=0.9) == ["background", "water"]
    assert dictionary.union(["boat", "dog"], beta=1.0) == ["background", "water", "ship"]
    # "vessel" (4 degrees) stands for boat; it is the text itself that is compared, 6 degrees from ship.
    near = float(np.cos(np.radians(6)))
    assert "ship" in dictionary.union(["vessel", "dog"], beta=min(near + 1e-4, 1.0))
    assert "ship" not in dictionary.union(["vessel", "dog"], beta=near - 1e-4)
    assert dictionary.union(["water", "photo"]) == ["background"]
    # "background" is one of each query's contrastive concepts, so beta holds for it too ("???" is 50 degrees away).
    assert dictionary.union(["???"], beta=float(np.cos(np.radians(50))) - 1e-3)[:1] != ["background"]
    with pytest.raises(UserError, match="beta: found 2"):
        dictionary.union(["boat"], beta=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "found an empty text"), (" \n", "found an empty text"), ("x" * 5000, "found 5000 characters")],
)
def test_texts_that_name_no_concept_are_refused(built: tuple[Path, Any], text: str, message: str) -> None:
    folder, encoder = built
    with pytest.raises(UserError, match=f"query 2: {message}"):
        ContrastiveConcepts.load(folder, encoder=encoder).lookup(["boat", text])


def test_a_folder_that_does_not_fit_is_refused(built: tuple[Path, Any], plane_encoder: Any, tmp_path: Path) -> None:
    folder, _ = built
    with pytest.raises(UserError, match=r"no manifest\.json in it"):
        ContrastiveConcepts.load(tmp_path)
    other = plane_encoder(ANGLES | {"puppy": 0.0})
    other.weights_sha256 = "1" * 64
    with pytest.raises(UserError, match="found weights_sha256 1111"):
        ContrastiveConcepts.load(folder, encoder=other).lookup(["puppy"])
    kept = folder / "contrastive_concepts.parquet"
    content = kept.read_bytes()
    kept.write_bytes(content[:-1] + b"?")
    with pytest.raises(
        UserError, match=r"contrastive_concepts\.parquet: found sha256 .*, expected .*: the file was changed"
    ):
        ContrastiveConcepts.load(folder)
    kept.unlink()
    with pytest.raises(UserError, match=r"contrastive_concepts\.parquet: missing"):
        ContrastiveConcepts.load(folder)
    (folder / "manifest.json").write_text('{"format": 1}')
    with pytest.raises(UserError, match="not a readable manifest"):
        ContrastiveConcepts.load(folder)


def test_equal_inputs_give_equal_bytes(built: tuple[Path, Any], tmp_path: Path) -> None:
    folder, encoder = built
    build(tmp_path / "again", encoder)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_publishing_replaces_all_or_nothing(built: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, encoder = built
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    import contrastive_concepts.dictionary.publish as publishing

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "_take_place", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build(folder, encoder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["dictionary"]
    # Where folders cannot be swapped atomically, they are renamed one after the other.
    monkeypatch.setattr(publishing, "_exchange", lambda a, b: False)
    build(folder, encoder)
    assert ContrastiveConcepts.load(folder)["boat"] == ["background", "water", "dog"]
    assert [path.name for path in folder.parent.iterdir()] == ["dictionary"]


def brute_force(
    captions_of: dict[str, set[int]],
    gamma: float,
    stop: set[str],
    seen: set[str],
    vectors: dict[str, np.ndarray],
    delta: float,
) -> dict[str, list[str]]:
    """The paper's rule by sets and loops."""
    result = {}
    for i, own in captions_of.items():
        kept = []
        for j, other in captions_of.items():
            both = len(own & other)
            if (
                j != i
                and own
                and both / len(own) > gamma
                and j not in stop
                and j in seen
                and float(vectors[i] @ vectors[j]) < delta
            ):
                kept.append((-both, j))
        result[i] = [j for _, j in sorted(kept)]
    return result


def test_selection_against_the_rule_by_sets_and_loops() -> None:
    random = np.random.default_rng(7)
    names = [f"{a}{b}" for a in "bcdfghklmnprtvz" for b in ("anub", "olim")]
    incidence = random.random((len(names), 400)) < random.uniform(0.005, 0.2, (len(names), 1))
    captions_of = {name: set(np.flatnonzero(row).tolist()) for name, row in zip(names, incidence, strict=True)}
    vectors = random.normal(size=(len(names), 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    seen, stop = set(names[::2] + names[1::3]), set(names[:3])
    concepts = pl.DataFrame({"concept_id": pl.Series(range(len(names)), dtype=pl.Int32), "concept": names})
    visible = [name in seen for name in names]
    verdicts = pl.DataFrame({"concept": names, "p_visible": 0.5, "visible": visible, "parsed": True})
    counts = sparse.csr_array(incidence.astype(np.int64))
    selection = select(
        Tables(concepts, sparse.csr_array(counts @ counts.T), verdicts, vectors), Thresholds(0.05, 0.6, sorted(stop))
    )
    found, rejected = selection.lists, selection.rejected
    expected = brute_force(captions_of, 0.05, stop, seen, dict(zip(names, vectors, strict=True)), 0.6)
    assert {name: sorted(group) for name, group in found.items()} == {
        name: sorted(group) for name, group in expected.items()
    }
    assert rejected.height > 0


@pytest.mark.parametrize("rows", [2, 3, 4, 7, 8, 9])
def test_the_nearest_of_each_vector_is_found_whatever_the_blocks(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "BLOCK", 4)
    vectors = np.random.default_rng(rows).standard_normal((rows, 5)).astype(np.float32)
    expected = [max(float(a @ b) for j, b in enumerate(vectors) if j != i) for i, a in enumerate(vectors)]
    assert building.nearest_similarities(vectors).tolist() == pytest.approx(expected, abs=1e-5)
    assert building.typical_nearest_similarity(vectors) == pytest.approx(np.quantile(expected, 0.25), abs=1e-5)
    assert building.typical_nearest_similarity(vectors[:1]) == 0.0


def test_plurals_need_no_encoder_in_the_published_dictionary(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(self: ContrastiveConcepts) -> None:
        raise AssertionError("the encoder was asked for")

    monkeypatch.setattr(ContrastiveConcepts, "encoder", property(absent))
    queries = {
        "boats": "boat",
        "Dogs": "dog",
        "cars": "car",
        "children": "child",
        "leaves": "leaf",
        "men": "man",
        "buses": "bus",
    }
    found = ContrastiveConcepts.load().lookup(list(queries))
    assert {match.query: match.concept for match in found} == queries
    assert all(0.8 < match.similarity < 1 for match in found)
