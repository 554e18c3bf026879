"""Negatives in supervision and in transformers' zero-shot detectors: the real libraries, models with random weights."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou
from transformers import pipeline

from contrastive_concepts.adapters import Prompts
from contrastive_concepts.adapters.hugging_face import caption, detect, ground, keep_queries
from contrastive_concepts.errors import UserError
from tests.tiny_detectors import grounding_dino, owl_vit

PROMPTS = Prompts(("boat", "dog"), ("water", "white sky", "dock"))
SIDES = ("xmin", "ymin", "xmax", "ymax")


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (60, 90, 3), np.uint8)) for _ in range(3)]


def by_the_rule(found: list[dict[str, Any]], prompts: Prompts) -> tuple[list[dict[str, Any]], int]:
    """What is kept of a pipeline's detections, and how many of the queries' are not: in other words, pair by pair."""

    def takes(negative: dict[str, Any], own: dict[str, Any]) -> bool:
        corners = [torch.tensor([[float(row["box"][side]) for side in SIDES]]) for row in (negative, own)]
        return negative["score"] > own["score"] and float(box_iou(*corners)) >= 0.5

    negatives = [row for row in found if row["label"] in prompts.negatives]
    own = [row for row in found if row["label"] in prompts.queries]
    kept = [row for row in own if not any(takes(negative, row) for negative in negatives)]
    return kept, len(own) - len(kept)


def test_owl_vit_in_the_pipeline(photos: list[Image.Image]) -> None:
    model, processor = owl_vit()
    detector = pipeline(
        "zero-shot-object-detection",
        model=model,
        tokenizer=processor.tokenizer,
        image_processor=processor.image_processor,
    )
    kept = detect(detector, photos, PROMPTS, threshold=0.01)
    taken = 0
    for photo, each in zip(photos, kept, strict=True):
        expected, lost = by_the_rule(detector(photo, candidate_labels=list(PROMPTS.texts), threshold=0.01), PROMPTS)
        assert each == expected == detect(detector, photo, PROMPTS, threshold=0.01)
        taken += lost
    assert taken > 0
    assert {row["label"] for each in kept for row in each} == set(PROMPTS.queries)
    # Without negatives the pipeline's answer stays.
    alone = Prompts(("boat",), ())
    assert detect(detector, photos[0], alone) == detector(photos[0], candidate_labels=["boat"])


def test_grounding_dino_in_the_pipeline(photos: list[Image.Image]) -> None:
    model, processor = grounding_dino(["boat", "dog", "water", "white", "sky", "dock"])
    detector = pipeline(
        "zero-shot-object-detection",
        model=model,
        tokenizer=processor.tokenizer,
        image_processor=processor.image_processor,
    )
    found = detector(photos[0], candidate_labels=list(PROMPTS.texts), threshold=0.5)
    kept, _ = by_the_rule(found, PROMPTS)
    assert detect(detector, photos[0], PROMPTS, threshold=0.5) == kept
    assert 0 < len(kept) < len(found)


def test_a_caption_of_all_texts() -> None:
    assert caption(PROMPTS) == "boat. dog. water. white sky. dock."
    assert caption(Prompts(("St. Bernard",), ("who?  me",))) == "st bernard. who me."


def test_a_caption_gives_each_box_to_one_text(photos: list[Image.Image]) -> None:
    model, processor = grounding_dino(["boat", "dog", "water", "white", "sky", "dock"])
    inputs = processor(images=photos[0], text=[list(PROMPTS.texts)], return_tensors="pt")
    # [CLS] boat . dog . water . white sky . dock . [SEP]
    places = {"boat": [1], "dog": [3], "water": [5], "white sky": [7, 8], "dock": [10]}
    with torch.inference_mode():
        outputs = model(**inputs)
    [boxes] = processor.post_process_grounded_object_detection(outputs, threshold=-1, target_sizes=[(60, 90)])
    probabilities = outputs.logits[0].sigmoid()
    found = []
    for row, box in zip(probabilities, boxes["boxes"], strict=True):
        scores = {text: float(row[tokens].max()) for text, tokens in places.items()}
        label = max(scores, key=lambda text: scores[text])
        found.append({"score": scores[label], "label": label, "box": dict(zip(SIDES, box.int().tolist(), strict=True))})
    found.sort(key=lambda row: -row["score"])
    assert len({row["label"] for row in found}) > 2
    expected, _ = by_the_rule([row for row in found if row["score"] > 0.9], PROMPTS)
    kept = ground(model, processor, photos[0], PROMPTS, threshold=0.9)
    assert [(row["label"], row["box"]) for row in kept] == [(row["label"], row["box"]) for row in expected]
    assert [row["score"] for row in kept] == pytest.approx([row["score"] for row in expected])
    assert kept
    # All the boxes, if nothing competes: each has one score of each text.
    everything = ground(model, processor, photos[0], Prompts(PROMPTS.texts, ()), threshold=0)
    assert [row["label"] for row in everything] == [row["label"] for row in found]


def test_a_caption_that_the_model_cannot_read(photos: list[Image.Image]) -> None:
    model, processor = grounding_dino(["boat", *(f"word{number}" for number in range(30))])
    many = Prompts(("boat",), tuple(f"word{number}" for number in range(30)))
    with pytest.raises(UserError, match="found 31 texts of 64 tokens together, expected at most 48 tokens; fewer"):
        ground(model, processor, photos[0], many)
    with pytest.raises(UserError, match=r"caption: found no token of '\.\.', expected a word"):
        ground(model, processor, photos[0], Prompts(("boat",), ("..",)))
    # Words that the tokenizer does not know are tokens all the same.
    assert ground(model, processor, photos[0], Prompts(("boat", "zebra"), ()), threshold=0)


def test_detections_of_other_labels() -> None:
    box = dict.fromkeys(SIDES, 0)
    with pytest.raises(UserError, match="label 0: found 'ship', expected one of the 5 texts asked"):
        keep_queries([{"score": 0.5, "label": "ship", "box": box}], PROMPTS)
    assert keep_queries([], PROMPTS) == []


sv = pytest.importorskip("supervision")


def detections(masks: bool = False) -> Any:
    """A boat that water takes, one that it does not, a dog, and the water."""
    boxes = np.array([[0, 0, 10, 10], [30, 30, 40, 40], [0, 0, 10, 9], [0, 0, 10, 8]], float)
    drawn = np.zeros((4, 50, 50), bool)
    for mask, (x1, y1, x2, y2) in zip(drawn, boxes.astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    return sv.Detections(
        boxes,
        mask=drawn if masks else None,
        confidence=np.array([0.5, 0.4, 0.9, 0.8]),
        class_id=np.array([0, 0, 1, 2]),
        data={"class_name": np.array(["boat", "boat", "dog", "water"])},
    )


@pytest.mark.parametrize("masks", [False, True])
def test_supervision_keeps_the_queries(masks: bool) -> None:
    from contrastive_concepts.adapters.supervision import keep_queries, taken_from_queries

    found = detections(masks)
    assert keep_queries(found, PROMPTS) == found[[1, 2]]
    taken = taken_from_queries(found, PROMPTS)
    assert (taken["class_name"].tolist(), taken["taken_by"].tolist()) == (["boat"], ["water"])
    # An annotator and a second call take the result as it is.
    labelled = sv.BoxAnnotator().annotate(np.zeros((50, 50, 3), np.uint8), keep_queries(found, PROMPTS))
    assert labelled[30, 30:40].any()
    assert not labelled[45:].any()
    assert keep_queries(keep_queries(found, PROMPTS), PROMPTS) == found[[1, 2]]


def test_masks_count_where_there_are_masks() -> None:
    from contrastive_concepts.adapters.supervision import keep_queries

    found = detections(masks=True)
    found.mask[3, :, 3:] = False  # IoU with the first boat: 24 pixels of 100
    assert keep_queries(found, PROMPTS) == found[[0, 1, 2]]
    assert keep_queries(found, PROMPTS, overlap=0.23) == found[[1, 2]]


@pytest.mark.skipif(not hasattr(sv.Detections, "to_compact_masks"), reason="an older supervision has dense masks alone")
def test_compact_masks_stay_compact() -> None:
    from contrastive_concepts.adapters.supervision import keep_queries

    compact = detections(masks=True).to_compact_masks()
    kept = keep_queries(compact, PROMPTS)
    assert kept.class_id.tolist() == [0, 1]
    assert type(kept.mask) is type(compact.mask)


def test_oriented_boxes_are_compared_as_such() -> None:
    from contrastive_concepts.adapters.supervision import keep_queries

    square = [[0, 0], [10, 0], [10, 10], [0, 10]]
    diagonal = [[0, 1], [1, 0], [10, 9], [9, 10]]
    found = sv.Detections(
        np.array([[0, 0, 10, 10]] * 2, float),
        confidence=np.array([0.5, 0.6]),
        class_id=np.array([0, 2]),
        data={"xyxyxyxy": np.array([square, diagonal], float)},
    )
    assert len(keep_queries(found, PROMPTS)) == 1
    assert (
        len(keep_queries(sv.Detections(found.xyxy, confidence=found.confidence, class_id=found.class_id), PROMPTS)) == 0
    )


def test_detections_without_scores_or_classes() -> None:
    from contrastive_concepts.adapters.supervision import keep_queries, taken_from_queries

    found = detections()
    found.confidence = None
    assert keep_queries(found, PROMPTS) == found[[0, 1, 2]]
    assert len(taken_from_queries(found, PROMPTS)) == 0
    for empty in (sv.Detections.empty(), sv.Detections(np.zeros((0, 4)))):
        assert len(keep_queries(empty, PROMPTS)) == len(taken_from_queries(empty, PROMPTS)) == 0
    found.class_id = None
    with pytest.raises(UserError, match=r"detections: found no class_id, expected places in prompts\.texts"):
        keep_queries(found, PROMPTS)
    found.class_id = np.array([0, 0, 1, 5])
    with pytest.raises(UserError, match="detection 3: found class 5, expected 0 to 4"):
        keep_queries(found, PROMPTS)


def test_supervision_after_a_detector_with_all_texts_in_one_pass(photos: list[Image.Image]) -> None:
    from contrastive_concepts.adapters.supervision import keep_queries

    model, processor = owl_vit()
    inputs = processor(text=[list(PROMPTS.texts)], images=photos[0], return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    [found] = processor.post_process_grounded_object_detection(outputs, threshold=0.01, target_sizes=[(60, 90)])
    kept = keep_queries(sv.Detections.from_transformers(found), PROMPTS)
    rows = [
        {"score": float(score), "label": PROMPTS.texts[int(label)], "box": dict(zip(SIDES, box.tolist(), strict=True))}
        for score, label, box in zip(found["scores"], found["labels"], found["boxes"], strict=True)
    ]
    expected, _ = by_the_rule(rows, PROMPTS)
    assert kept.xyxy.tolist() == [[row["box"][side] for side in SIDES] for row in expected]
    assert 0 < len(kept) < len(rows)
