"""Negatives for other people's detectors: the texts that are asked, and the rule by which negatives take."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_masks

from contrastive_concepts import ContrastiveConcepts
from contrastive_concepts.adapters import Prompts
from contrastive_concepts.adapters.claims import KEPT, NEGATIVE, box_claims, box_iou
from contrastive_concepts.errors import UserError
from contrastive_concepts.resources import resource
from tests.helpers import release_dictionary

PROMPTS = Prompts(("boat", "dog"), ("water", "sky"))
NAMES = ["boat", "water", "dog", "sky", "café"]
COUNTS = [
    [100, 50, 0, 40, 30],
    [50, 100, 0, 0, 0],
    [0, 0, 100, 20, 60],
    [40, 0, 20, 100, 0],
    [30, 0, 60, 0, 100],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release_dictionary(tmp_path_factory.mktemp("adapters") / "a", names=NAMES, counts=COUNTS)


@pytest.fixture(scope="module")
def dictionary(folder: Path) -> ContrastiveConcepts:
    return ContrastiveConcepts.load(folder)


def test_queries_stand_first_and_their_negatives_after_them(dictionary: ContrastiveConcepts) -> None:
    one = Prompts.of(dictionary, "boat")
    assert one == Prompts.of(dictionary, ["boat"])
    assert one.texts == ("boat", *dictionary["boat"][1:]) == ("boat", "water", "sky", "café")
    assert Prompts.of(dictionary, "Boat", at_most=2).texts == ("Boat", "water", "sky")


def test_background_is_there_if_it_is_asked_for(folder: Path) -> None:
    added = ContrastiveConcepts.load(folder)
    assert Prompts.of(added, "boat").texts == ("boat", "water", "sky", "café")
    assert Prompts.of(added, "boat", at_most=2, background=True).texts == ("boat", "background", "water")
    # The toy world's captions mention backgrounds.
    mined = ContrastiveConcepts.load(resource("dictionaries/toyworld"), background=False)
    assert "background" in mined["bus"]
    assert "background" not in Prompts.of(mined, "bus").texts


def test_several_queries_take_turns_and_each_negative_is_there_once(dictionary: ContrastiveConcepts) -> None:
    several = Prompts.of(dictionary, ["boat", "dog", "water"])
    # boat: water, sky, café; dog: café, sky; water: boat. Queries are no negatives.
    assert several.negatives == ("café", "sky")
    plain = ContrastiveConcepts.load(dictionary.folder, background=False)
    assert set(several.negatives) == set(plain.union(["boat", "dog", "water"]))
    assert dictionary.background
    assert Prompts.of(dictionary, ["boat", "dog"], at_most=2).negatives == ("water", "café")


def test_one_word_in_two_spellings_is_one_negative(tmp_path: Path) -> None:
    names, counts = ["boat", "T-shirt", "t-shirt", "dock"], 9 * np.eye(4, dtype=int)
    counts[0] = counts[:, 0] = [9, 4, 6, 5]
    spelt = ContrastiveConcepts.load(release_dictionary(tmp_path / "a", names=names, counts=counts.tolist()))
    assert spelt["boat"] == ["background", "t-shirt", "dock", "T-shirt"]
    assert Prompts.of(spelt, "boat").negatives == ("t-shirt", "dock")


def test_concepts_near_a_query_are_no_negatives_of_several() -> None:
    toy = ContrastiveConcepts.load(resource("dictionaries/toyworld"), background=False)
    loose, tight = (Prompts.of(toy, ["bus", "boat"], beta=beta).negatives for beta in (1.0, 0.5))
    assert list(tight) == [name for name in loose if name in toy.union(["bus", "boat"], 0.5)]
    assert 0 < len(tight) < len(loose)


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        ([], "queries: found none, expected at least one text"),
        (["boat", " "], "query: found ' ', expected a text"),
        (["boat", "BOAT"], "query: found 'BOAT' beside 'boat', expected distinct texts"),
    ],
)
def test_queries_that_cannot_be_asked(dictionary: ContrastiveConcepts, queries: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        Prompts.of(dictionary, queries)
    assert str(error.value) == message


def test_a_query_without_negatives_is_no_success(tmp_path: Path) -> None:
    alone = release_dictionary(tmp_path / "a", names=["boat", "dog"], counts=[[9, 0], [0, 9]])
    with pytest.raises(UserError, match=r"'boat': found no contrastive concept in .*dictionary"):
        Prompts.of(ContrastiveConcepts.load(alone), "boat")
    with pytest.raises(UserError, match="at_most: found 0, expected at least 1"):
        Prompts.of(ContrastiveConcepts.load(alone), "boat", at_most=0)


def test_labels_are_numbered_by_their_texts() -> None:
    assert PROMPTS.numbers(["sky", "boat"]).tolist() == [3, 0]
    with pytest.raises(UserError, match="label 1: found 'ship', expected one of the 4 texts asked"):
        PROMPTS.numbers(["sky", "ship"])


BOX, INSIDE, BESIDE = [0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 6.0], [20.0, 20.0, 30.0, 30.0]


@pytest.mark.parametrize(
    ("rows", "fate"),
    [
        # (class, score, box) of each detection
        ([(0, 0.5, BOX), (2, 0.6, BOX)], [1, NEGATIVE]),
        ([(0, 0.6, BOX), (2, 0.6, BOX)], [KEPT, NEGATIVE]),
        ([(0, 0.5, BOX), (2, 0.6, BESIDE)], [KEPT, NEGATIVE]),
        ([(0, 0.5, BOX), (2, 0.6, INSIDE)], [1, NEGATIVE]),
        # Queries do not suppress each other.
        ([(0, 0.5, BOX), (1, 0.9, BOX), (0, 0.4, BOX)], [KEPT, KEPT, KEPT]),
        # The highest negative takes, and one that a query beats still takes from another.
        ([(0, 0.5, BOX), (2, 0.6, BOX), (3, 0.8, BOX), (1, 0.9, BOX)], [2, NEGATIVE, NEGATIVE, KEPT]),
    ],
)
def test_the_rule(rows: list[tuple[int, float, list[float]]], fate: list[int]) -> None:
    classes, scores, boxes = (np.array(column) for column in zip(*rows, strict=True))
    assert box_claims(PROMPTS, classes, scores, boxes).tolist() == fate
    assert box_claims(PROMPTS, classes, None, boxes).tolist() == [NEGATIVE if c > 1 else KEPT for c in classes]


def test_the_overlap_that_takes() -> None:
    classes, scores, boxes = np.array([0, 2]), np.array([0.5, 0.6]), np.array([BOX, INSIDE])
    assert [box_claims(PROMPTS, classes, scores, boxes, iou)[0] for iou in (0.6, 0.61)] == [1, KEPT]
    with pytest.raises(UserError, match="overlap: found 0, expected an IoU above 0, at most 1"):
        box_claims(PROMPTS, classes, scores, boxes, 0)


corner = st.integers(0, 6)
detection = st.tuples(st.integers(0, 3), st.integers(0, 5), corner, corner, st.integers(0, 5), st.integers(0, 5))


@given(st.lists(detection, max_size=12))
def test_the_rule_as_it_is_said(rows: list[tuple[int, ...]]) -> None:
    """In other words, pair by pair, with pycocotools' overlaps."""
    boxes = np.array([[x, y, x + w, y + h] for _, _, x, y, w, h in rows], float).reshape(-1, 4)
    expected = []
    for own, score, *box in rows:
        takers = [
            other_score
            for other, other_score, *other_box in rows
            if other > 1
            and other_score > score
            and coco_masks.iou(np.array([box], float), np.array([other_box], float), [0])[0, 0] >= 0.5
        ]
        expected.append(None if own > 1 else max(takers, default=-1))
    fate = box_claims(
        PROMPTS, np.array([row[0] for row in rows], int), np.array([row[1] for row in rows], float), boxes
    )
    assert [None if f == NEGATIVE else -1 if f == KEPT else rows[f][1] for f in fate] == expected


def test_many_detections_are_compared_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    classes, scores = random.integers(0, 4, 500), random.random(500)
    corners = random.random((500, 2)) * 5
    boxes = np.concatenate([corners, corners + 1 + random.random((500, 2))], axis=1)
    pieces = box_claims(PROMPTS, classes, scores, boxes)
    monkeypatch.setattr("contrastive_concepts.adapters.claims.ROWS", 10_000)
    assert np.array_equal(pieces, box_claims(PROMPTS, classes, scores, boxes))
    monkeypatch.setattr("contrastive_concepts.adapters.claims.ROWS", 7)
    assert np.array_equal(pieces, box_claims(PROMPTS, classes, scores, boxes))
    assert {KEPT, NEGATIVE} < set(pieces.tolist())


def test_overlaps_of_boxes() -> None:
    a = np.array([BOX, BESIDE, [5, 5, 5, 5]])
    assert box_iou(a, np.array([INSIDE, [5, 5, 5, 5]])).tolist() == [[0.6, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("classes", "scores", "message"),
    [
        ([0, 4], [0.1, 0.2], "detection 1: found class 4, expected 0 to 3, the texts asked"),
        ([0, -1], [0.1, 0.2], "detection 1: found class -1, expected 0 to 3"),
        ([0, 2], [0.1, np.nan], "detection 1: found the score nan, expected a number"),
    ],
)
def test_detections_that_answer_another_question(classes: list[int], scores: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        box_claims(PROMPTS, np.array(classes), np.array(scores), np.array([BOX, BOX]))


def test_what_the_adapters_import() -> None:
    code = (
        "import sys\n"
        "from contrastive_concepts.adapters import Prompts, coco, fiftyone, hugging_face, supervision, yolo\n"
        "heavy = {'torch', 'transformers', 'supervision', 'fiftyone', 'pycocotools', 'faiss', 'polars'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
