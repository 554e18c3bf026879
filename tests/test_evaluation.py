"""Metrics, contrastive sets and IoU-single, against the original's outputs and against plain loops."""

import json
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.segmentation import evaluate_straightforward
from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation import contrastive_sets as cs
from contrastive_concepts.evaluation.classic import evaluate_classic, segment_classes
from contrastive_concepts.evaluation.datasets import Dataset, Sample
from contrastive_concepts.evaluation.grid_bound import GridBound, grid_bound, require_any
from contrastive_concepts.evaluation.metrics import (
    Confusion,
    bootstrap,
    class_mean,
    drawn_weights,
    paired_bootstrap,
    reduce_zero_label,
    weighted_totals,
)
from contrastive_concepts.evaluation.scoring import evaluate_single
from contrastive_concepts.evaluation.single import SingleScores
from contrastive_concepts.segmenters import build
from tests.helpers import PARITY, needs_parity, parity_arrays, vectors
from tests.synthetic_clip import clip_model, draw, masker

SMALL = Protocol(short_side=64, long_side=256, window=64, stride=32, batch=4)


def test_confusion_against_loops() -> None:
    generator = np.random.default_rng(0)
    confusion, counts = Confusion(4), np.zeros((4, 4), int)
    for _ in range(3):
        predicted, labels = generator.integers(0, 3, (7, 9), np.uint8), generator.integers(0, 4, (7, 9), np.uint8)
        labels[labels == 3], labels[0] = 1, 255
        confusion.add(predicted, labels)
        for found, label in zip(predicted.ravel(), labels.ravel(), strict=True):
            if label != 255:
                counts[label, found] += 1
    for k in range(3):
        iou = counts[k, k] / (counts[k].sum() + counts[:, k].sum() - counts[k, k])
        assert confusion.iou()[k] == pytest.approx(iou)
        assert confusion.accuracy()[k] == pytest.approx(counts[k, k] / counts[k].sum())
    assert np.isnan(confusion.iou()[3])  # neither shown nor found
    assert confusion.miou() == pytest.approx(np.mean(confusion.iou()[:3]))


@needs_parity
@pytest.mark.parametrize("case", ["plain21", "rzl20", "outofrange", "absent"])
def test_confusion(case: str) -> None:
    stored = parity_arrays("iou_aggregation.npz")
    confusion = Confusion(len(stored[f"{case}_IoU"]))
    for predicted, labels in zip(stored[f"{case}_pred"], stored[f"{case}_label"], strict=True):
        confusion.add(predicted, reduce_zero_label(labels) if case == "rzl20" else labels)
    assert np.allclose(confusion.iou(), stored[f"{case}_IoU"], atol=1e-6, equal_nan=True)
    assert np.allclose(confusion.accuracy(), stored[f"{case}_Acc"], atol=1e-6, equal_nan=True)
    assert confusion.miou() * 100 == pytest.approx(float(stored[f"{case}_mIoU_pct_round2"]), abs=0.0051)


def test_iou_single_by_hand() -> None:
    """Paper 4.2: pixels of a class are added over all images that show it, then the classes' IoU are averaged."""
    scores = SingleScores("by hand", ("background", "boat", "dog"))
    boat_and_dog = np.array([[1, 1, 0, 2], [1, 255, 0, 2]])
    only_boat = np.array([[1, 0, 0, 0], [0, 0, 0, 0]])
    scores.start("a")
    scores.add(
        1, np.array([[1, 0, 0, 0], [1, 1, 1, 0]], bool), boat_and_dog
    )  # 2 of 3 + 1; the ignored one is not found
    scores.add(2, np.array([[0, 0, 0, 1], [0, 0, 0, 1]], bool), boat_and_dog)  # 2 of 2
    scores.start("b")
    scores.add(1, np.array([[1, 1, 1, 1], [0, 0, 0, 0]], bool), only_boat)  # 1 of 4
    assert scores.intersection.sum(0).tolist() == [0, 3, 2]
    assert scores.union.sum(0).tolist() == [0, 8, 2]
    assert scores.iou_single() == pytest.approx((3 / 8 + 1) / 2)
    assert scores.pair_mean() == pytest.approx((2 / 4 + 1 + 1 / 4) / 3)
    assert scores.image_mean() == pytest.approx(((2 / 4 + 1 / 4) / 2 + 1) / 2)


@needs_parity
def test_worked_example_of_iou_single() -> None:
    example = json.loads((PARITY / "evaluation" / "iou_single_worked_example.json").read_text())
    scores = SingleScores("worked", ("background", "one", "two"))
    for image, labels in enumerate(np.array(example["gt"])):
        scores.start(str(image))
        for label in (1, 2):
            found = example["pred"].get(f"image{image}_class{label}")
            if found is not None:
                scores.add(label, np.array(found) == 1, labels)
    assert scores.intersection.sum(0).tolist() == [0, example["intersect"]["1"], example["intersect"]["2"]]
    assert scores.union.sum(0).tolist() == [0, example["union"]["1"], example["union"]["2"]]
    assert scores.iou_single() == pytest.approx(example["A_dataset_level_per_class_then_mean"])
    assert scores.pair_mean() == pytest.approx(example["B_mean_over_image_class_pairs"])
    assert scores.image_mean() == pytest.approx(example["C_per_class_mean_of_image_ious"])


@needs_parity
def test_end_to_end_on_voc_layout() -> None:
    open_clip = pytest.importorskip("open_clip")
    classes = json.loads((PARITY / "class_lists.json").read_text())["clip_dinoiser"]["voc21"]
    model = clip_model()
    tokenizer = open_clip.get_tokenizer("ViT-B-16")

    def embed(texts: Sequence[str]) -> np.ndarray[Any, Any]:
        rows = []
        with torch.inference_mode():
            for text in texts:
                prompts = tokenizer([template(text) for template in open_clip.OPENAI_IMAGENET_TEMPLATES])
                rows.append(F.normalize(F.normalize(model.encode_text(prompts), dim=1).mean(0), dim=0).numpy())
        return np.stack(rows)

    data = Dataset("voc21", PARITY / "evaluation" / "toyvoc", classes)
    chosen, segmenter = cs.background_only(), build("maskclip", model)
    stored = parity_arrays("e2e_dinoiser_maskclip.npz")
    confusion = Confusion(21)
    found = segment_classes(segmenter, data, classes, data.queries, chosen, embed, Protocol(), beta=1.0)
    for index, (_, labels, predicted) in enumerate(found):
        assert (predicted != stored[f"pred_{index}"]).mean() < 1e-3
        confusion.add(predicted, labels)
    expected = json.loads((PARITY / "evaluation" / "e2e_dinoiser_maskclip.json").read_text())
    ious = [expected[f"IoU.{name}"] for name in classes]
    assert np.allclose(confusion.iou(), ious, atol=1e-3, equal_nan=True)
    assert confusion.miou() == pytest.approx(expected["mIoU"], abs=1e-3)


def scene(count: int = 3, size: int = 72) -> list[Sample]:
    stream = np.random.default_rng(0)
    samples = []
    for index in range(count):
        image = stream.integers(0, 256, (size, size + 9 * index, 3), np.uint8)
        labels = cv2.resize(
            stream.integers(0, 5, (4, 4), np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST
        )
        labels[0, :5] = 255
        samples.append(Sample(str(index), image, labels))
    return samples


CLASSES = ("background", "boat", "water", "dog", "grass")
CONCEPTS = {"boat": ["water", "sky"], "water": ["boat", "sky", "rock"], "dog": ["grass"], "grass": ["dog", "sky"]}


def every_segmenter() -> list[Any]:
    model = clip_model(layers=2, patch=8, size=64)
    heads = {
        name: draw(name, shape, 1)
        for name, shape in {
            "obj_proj.weight": (256, 128, 3, 3),
            "obj_proj.bias": (256,),
            "bkg_decoder.weight": (1, 128, 1, 1),
            "bkg_decoder.bias": (1,),
        }.items()
    }
    return [
        build("maskclip", model),
        build("gem", model),
        build("tcl", model, checkpoint=masker(layers=2)),
        build("clip_dinoiser", model, checkpoint=heads),
    ]


@pytest.mark.parametrize("index", range(4))
def test_cached_scores_are_the_straightforward_ones(index: int) -> None:
    segmenter = every_segmenter()[index]
    own = segmenter.background_is is not None
    sets = [
        cs.background_only(),
        cs.from_mapping("ccd", CONCEPTS),
        cs.from_mapping("ccd_bg", CONCEPTS, background=True, original=own),
        cs.oracle(CLASSES),
        cs.image_oracle(CLASSES),
        cs.none(original=own),
    ]
    samples = scene()
    arguments = (segmenter, samples, CLASSES, [1, 2, 3, 4], sets, vectors, SMALL)
    for cached, plain in zip(evaluate_single(*arguments), evaluate_straightforward(*arguments), strict=True):
        assert np.abs(cached.intersection - plain.intersection).max() <= 5
        assert np.abs(cached.union - plain.union).max() <= 5
        assert np.array_equal(
            plain.union > 0, [[k > 0 and bool((s.labels == k).any()) for k in range(5)] for s in samples]
        )


def test_a_query_alone_takes_every_pixel_without_background_handling() -> None:
    samples = scene()
    [scores] = evaluate_single(every_segmenter()[0], samples, CLASSES, [1, 2, 3, 4], [cs.none()], vectors, SMALL)
    for row, sample in enumerate(samples):
        for label in (1, 2, 3, 4):
            area = int((sample.labels == label).sum())
            assert scores.intersection[row, label] == area
            assert scores.union[row, label] == (int((sample.labels != 255).sum()) if area else 0)


def test_what_contrastive_texts_take_adds_up() -> None:
    samples = scene(1)
    chosen = cs.from_mapping("ccd", CONCEPTS)
    [scores] = evaluate_single(every_segmenter()[0], samples, CLASSES, [1], [chosen], vectors, SMALL)
    kept, labels = samples[0].labels != 255, samples[0].labels
    found = int(scores.union[0, 1] - (labels == 1).sum() + scores.intersection[0, 1])
    assert found + sum(scores.taken["boat"].values()) == kept.sum()
    assert set(scores.taken["boat"]) <= {"water", "sky"}


def test_classic_gives_negatives_to_background_or_to_nobody() -> None:
    segmenter = every_segmenter()[0]
    chosen = cs.from_mapping("ccd", CONCEPTS)
    for classes, queries, outside in ((CLASSES, [1, 2, 3, 4], 0), (CLASSES[1:], [0, 1, 2, 3], 255)):
        samples = [Sample(s.name, s.image, np.where(s.labels > 3, 255, s.labels).astype(np.uint8)) for s in scene()]
        seen = set()
        for *_, predicted in segment_classes(segmenter, samples, classes, queries, chosen, vectors, SMALL):
            seen |= set(np.unique(predicted).tolist())
        assert seen <= {*queries, outside}
        assert outside in seen
    with pytest.raises(UserError, match="0 images"):
        evaluate_classic(segmenter, [], CLASSES, [1, 2], chosen, vectors, SMALL)


def test_union_drops_what_is_too_like_any_query() -> None:
    embeddings = {"a": [1.0, 0.0], "b": [0.0, 1.0], "near_b": [0.1, 0.995], "far": [0.7, 0.7]}
    unit = {text: np.asarray(v, np.float32) for text, v in embeddings.items()}
    chosen = cs.from_mapping("x", {"a": ["near_b", "b", "far"], "b": ["far"]})
    assert cs.union(chosen, ["a", "b"], unit, beta=0.9) == ("far",)
    assert cs.union(chosen, ["a", "b"], unit, beta=1.0) == ("near_b", "far")


def test_sets_never_contrast_a_query_with_itself() -> None:
    chosen = cs.from_mapping("x", {"dog": ["dog", "grass", "grass", ""]}, background=True)
    assert chosen.negatives("dog") == ("background", "grass")
    with pytest.raises(UserError, match="'cat' is missing"):
        chosen.negatives("cat")
    assert cs.image_oracle(CLASSES).negatives("boat", ["boat", "water"]) == ("water",)
    assert cs.image_oracle(CLASSES).negatives("boat", ["background", "boat"]) == ("background",)
    assert cs.oracle(CLASSES).negatives("boat") == ("water", "dog", "grass")


def test_random_control_is_seeded_and_of_equal_size() -> None:
    words = [f"w{k}" for k in range(50)]
    like = cs.from_mapping("ccd", CONCEPTS)
    first, again, other = (cs.random_control(like, words, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert {q: len(first.negatives(q)) for q in CONCEPTS} == {q: len(like.negatives(q)) for q in CONCEPTS}
    with pytest.raises(UserError, match="expected 2 or more"):
        cs.random_control(like, ["one"])


def test_bootstrap_covers_and_pairs() -> None:
    stream = np.random.default_rng(0)
    union = stream.integers(50, 100, (40, 3))
    inter = (union * stream.uniform(0.3, 0.7, union.shape)).astype(np.int64)
    interval = bootstrap(inter, union, seed=3)
    assert interval == bootstrap(inter, union, seed=3)
    assert interval.low < interval.value < interval.high
    assert interval.value == pytest.approx(float(np.mean(inter.sum(0) / union.sum(0))))
    same = paired_bootstrap((inter, union), (inter, union))
    assert (same.value, same.low, same.high) == (0, 0, 0)
    better = paired_bootstrap((inter + 5, union), (inter, union))
    assert 0 < better.low < better.value < better.high
    assert np.isnan(class_mean(np.zeros(2, int), np.zeros(2, int)))


@given(st.integers(0, 2**16), st.sampled_from([10, 1 << 40, 1 << 52]))
def test_totals_of_draws_are_exact_integers(seed: int, largest: int) -> None:
    stream = np.random.default_rng(seed)
    sums = stream.integers(0, largest, (7, 3))
    weights = drawn_weights(7, 20, seed)
    assert (weights.sum(axis=1) == 7).all()
    totals = weighted_totals(weights, sums)
    assert totals.dtype == np.int64
    expected = [
        [sum(int(w) * int(s) for w, s in zip(row, column, strict=True)) for column in sums.T] for row in weights
    ]
    assert totals.tolist() == expected


@given(st.integers(0, 2**16), st.integers(2, 6))
def test_grid_bound_is_the_best_of_all_choices_of_cells(seed: int, size: int) -> None:
    labels = np.random.default_rng(seed).choice([0, 1, 255], (2 * size, 2 * size)).astype(np.uint8)
    found = grid_bound([labels], 2, [1], (2, 2))[1]
    truth, kept = labels == 1, labels != 255
    best = np.nan
    for choice in range(16):
        mask = np.kron(np.array([choice >> k & 1 for k in range(4)]).reshape(2, 2), np.ones((size, size), int)) > 0
        iou = (mask & truth).sum() / max(((mask | truth) & kept).sum(), 1)
        best = iou if np.isnan(best) else max(best, iou)
    assert np.isnan(found) if not truth.any() else found == pytest.approx(best)


def test_beta_is_one_rule() -> None:
    """In the evaluation and in a dictionary: equal is kept, the answer of a pair depends on no other, 1 keeps all."""
    from contrastive_concepts.selection.union import far_from_queries

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 512)).astype(np.float32) + 3
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    texts, queries = rows[:250], rows[250:]
    alone = np.array([[np.einsum("nd,qd->nq", t[None], q[None])[0, 0] for q in queries] for t in texts])
    for beta in (float(alone[3].max()), float(np.median(alone.max(1))), 0.9, 1.0):
        found = far_from_queries(texts, queries, beta)
        assert found.tolist() == ((alone.max(1) <= np.float32(beta)) | (beta == 1)).tolist()
        for number in (0, 3, 100):
            assert far_from_queries(texts[number : number + 1], queries[::-1], beta)[0] == found[number]
    assert far_from_queries(texts, texts, 1.0).all()
    unit = {"q": texts[0], "background": texts[0], "far": -texts[0]}
    chosen = cs.from_mapping("x", {"q": ["far"]}, background=True)
    assert cs.union(chosen, ["q"], unit, beta=0.9) == ("far",)
    assert cs.union(chosen, ["q"], unit, beta=1.0) == ("background", "far")


def test_a_data_set_that_shows_no_query_is_refused() -> None:
    bound = GridBound(3, [1, 2])
    bound.add(np.array([[0, 0], [255, 0]], np.uint8), (1, 1))
    with pytest.raises(UserError, match=r"data/voc: found none of the 2 queried classes in any of 1 images"):
        require_any(bound.table(), "data/voc", 2, 1)
    bound.add(np.array([[0, 2]], np.uint8), (1, 1))
    require_any(bound.table(), "data/voc", 2, 2)
