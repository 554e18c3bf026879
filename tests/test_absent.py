"""Absent queries: which are asked, what they claim, and what tells them from shown ones, against plain loops."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from contrastive_concepts.config.benchmark import BenchmarkSettings
from contrastive_concepts.config.evaluation import AbsentSettings
from contrastive_concepts.evaluation import contrastive_sets as cs
from contrastive_concepts.evaluation.absent import (
    TOGETHER,
    AbsentQueries,
    absent_queries,
    read_together,
    seen_together,
)
from contrastive_concepts.evaluation.datasets import Dataset, DatasetDescription, Sample
from contrastive_concepts.evaluation.features import encode_samples
from contrastive_concepts.evaluation.pixels import PixelCounts
from contrastive_concepts.evaluation.presence import PRESENCE, measure, weighted_auc, weighted_mean
from contrastive_concepts.evaluation.protocol import encode
from contrastive_concepts.evaluation.results import collect
from contrastive_concepts.evaluation.scoring import Experiment, Scorer, experiment_texts
from contrastive_concepts.evaluation.streaming import save_scored, score_images, scored_before
from contrastive_concepts.evaluation.texts import embed_once
from contrastive_concepts.report.summary import summary
from contrastive_concepts.segmenters import build
from contrastive_concepts.segmenters.segmenter import Segmenter
from tests.scenes import CLASSES, QUERIES, SMALL, Scene, experiments_of, scene, vectors
from tests.synthetic_clip import masker

KINDS: Any = ["random", "seen_together", "similar"]
TOGETHER_OF = np.array([[0, 0.5, 0.1, 0.2], [0.4, 0, 0.3, 0], [0, 0.1, 0, 0.9], [0.2, 0, 0.6, 0]])


def some_shown(count: int = 5) -> list[Sample]:
    """Each image shows two of the four queries."""
    samples = []
    for number, each in enumerate(scene(count)):
        hidden = [number % 4 + 1, (number + 1) % 4 + 1]
        samples.append(replace(each, labels=np.where(np.isin(each.labels, hidden), 0, each.labels).astype(np.uint8)))
    return samples


def data(samples: Sequence[Sample]) -> Dataset:
    return cast("Dataset", Scene(tuple(samples)))


def scorer(segmenter: Segmenter, experiments: Sequence[Experiment], absent: bool = True) -> Scorer:
    texts = embed_once([*CLASSES, *experiment_texts(segmenter, CLASSES, QUERIES, experiments)], vectors)
    chosen = absent_queries(AbsentSettings(kinds=KINDS), CLASSES, QUERIES, texts, TOGETHER_OF)
    return Scorer(segmenter, CLASSES, QUERIES, experiments, texts, absent=chosen if absent else None)


def small(method: str, clip: Any) -> Segmenter:
    return build(method, clip, **({"checkpoint": masker(layers=2)} if method == "tcl" else {}))


def shown_in(sample: Sample) -> list[int]:
    return [label for label in QUERIES if (sample.labels == label).any()]


def test_a_draw_depends_on_the_seed_and_the_image_alone() -> None:
    labels = list(range(3, 23))
    chosen = AbsentQueries(labels, ["random"], 7)
    names = [f"image {number}" for number in range(30)]
    first = {name: chosen.choose(name, [4, 5, 9]) for name in names}
    assert {name: chosen.choose(name, [4, 5, 9]) for name in reversed(names)} == first
    assert {name: AbsentQueries(labels, ["random"], 8).choose(name, [4, 5, 9]) for name in names} != first
    for drawn in first.values():
        assert len({label for _, label in drawn}) == 3
        assert not {label for _, label in drawn} & {4, 5, 9}
    assert len({label for drawn in first.values() for _, label in drawn}) == 17
    assert chosen.choose("a", []) == []
    assert chosen.choose("a", labels) == []
    assert [label for _, label in chosen.choose("a", labels[2:])] == [3, 4]


def test_hard_ones_are_the_nearest_to_what_is_shown() -> None:
    similarity = np.array([[1, 0.1, 0.8, 0.3], [0.1, 1, 0.2, 0.7], [0.8, 0.2, 1, 0.9], [0.3, 0.7, 0.9, 1]])
    chosen = AbsentQueries(QUERIES, ["seen_together", "similar"], together=TOGETHER_OF, similarity=similarity)
    # With 1: 2 (0.5) before 4 (0.2) before 3 (0.1); the text of 3 is nearest.
    assert chosen.choose("a", [1]) == [("seen_together", 2), ("similar", 3)]
    # With 1 and 2 together: 3 (0.1 + 0.3) before 4 (0.2 + 0); 3 is at 0.8 to 1, 4 at 0.7 to 2.
    assert [label for _, label in chosen.choose("a", [1, 2])] == [3, 4, 3, 4]
    # No caption mentions 1 with 3.
    assert chosen.choose("a", [3]) == [("seen_together", 4), ("similar", 4)]
    assert chosen.choose("a", [2, 3, 4]) == [("seen_together", 1), ("similar", 1)]
    never = AbsentQueries(QUERIES, ["seen_together"], together=np.zeros((4, 4)))
    assert never.choose("a", [1]) == []


@given(st.integers(0, 2**16), st.integers(2, 9))
@settings(max_examples=20, deadline=None)
def test_similar_ones_against_all_pairs(seed: int, count: int) -> None:
    names = [f"{seed} {number}" for number in range(count)]
    chosen = absent_queries(AbsentSettings(kinds=["similar"]), names, range(count), embed_once(names, vectors))
    shown = sorted(np.random.default_rng(seed).choice(count, count // 2, replace=False).tolist())
    near = {
        label: max(float(vectors([names[label]])[0].astype(float) @ vectors([names[s]])[0]) for s in shown)
        for label in range(count)
        if label not in shown
    }
    found = [label for _, label in chosen.choose("a", shown)]
    assert found == sorted(near, key=lambda label: -near[label])[: len(shown)]


def test_together_is_counted_in_captions(tmp_path: Path) -> None:
    """X of three concepts; two queries have the same concept, one has a concept of no caption."""
    matrix = sparse.csr_array(np.array([[100, 40, 0, 0], [40, 50, 5, 0], [0, 5, 20, 0], [0, 0, 0, 0]]))
    matches = pl.DataFrame(
        {"query": ["boat", "vessel", "sea", "dog", "ghost"], "concept": ["boat", "boat", "water", "dog", "ghost"]}
    )
    table = seen_together(matches, {"boat": 0, "water": 1, "dog": 2, "ghost": 3}, matrix)
    assert table.schema == TOGETHER
    assert sorted(table.rows()) == [
        ("boat", "sea", 0.4), ("dog", "sea", 0.25), ("sea", "boat", 0.8), ("sea", "dog", 0.1), ("sea", "vessel", 0.8),
        ("vessel", "sea", 0.4),
    ]  # fmt: skip
    table.write_parquet(tmp_path / "t.parquet")
    dense = read_together(tmp_path / "t.parquet", matches["query"].to_list())
    assert dense[2].tolist() == [0.8, 0.8, 0, 0.1, 0]
    assert dense[:, 4].tolist() == [0] * 5


def by_hand(segmenter: Segmenter, sample: Sample, experiment: Experiment, label: int) -> tuple[int, float]:
    """Pixels of the mask and the best margin of one query, encoded and compared by itself."""
    chosen, query = experiment.contrastive_set, CLASSES[label]
    present = [CLASSES[number] for number in np.unique(sample.labels) if number != 255]
    listed = [text for text in chosen.concepts.get(query, ()) if not chosen.present_only or text in present]
    texts = [query, *(["background"] if chosen.background else []), *listed]
    encoded = encode(segmenter, sample.image, SMALL)
    embedded = torch.from_numpy(vectors(texts))
    best = -np.inf
    for window in segmenter.scores(encoded.features, embedded).numpy():
        for scores in window.reshape(len(texts), -1).T:
            best = max(best, scores[0] - max(scores[1:]) if len(texts) > 1 else scores[0])
    maps = F.interpolate(
        segmenter.scores(encoded.features, embedded, chosen.original), encoded.features.size, mode="bilinear"
    )
    total, count = torch.zeros(maps.shape[1], *encoded.resized), torch.zeros(encoded.resized)
    for (top, bottom, left, right), scores in zip(encoded.windows, maps, strict=True):
        total[:, top:bottom, left:right] += scores
        count[top:bottom, left:right] += 1
    pixels = F.interpolate((total / count)[None], encoded.original, mode="bilinear")[0]
    found = segmenter.finish(pixels, chosen.original).argmax(dim=0).numpy()
    own = found == (chosen.original and segmenter.background_is == "channel")
    return int((own & (sample.labels != 255)).sum()), float(best)


@pytest.mark.parametrize("method", ["maskclip", "gem", "tcl"])
@pytest.mark.parametrize("at_once", [0, 1 << 18])
def test_answers_against_queries_asked_alone(method: str, at_once: int, small_clip: Any) -> None:
    """With several sets of texts at once as on a GPU, and one by one."""
    segmenter, samples = small(method, small_clip), some_shown(2)
    experiments = [
        *experiments_of(segmenter.background_is == "channel"),
        Experiment("none", cs.none()),
        Experiment("classic", cs.background_only(), ("mIoU",)),
    ]
    made = scorer(segmenter, experiments)
    made._scores_at_once = at_once
    for sample, (_, scores) in zip(samples, made.score_all(encode_samples(segmenter, samples, SMALL)), strict=True):
        shown = shown_in(sample)
        others = [label for label in QUERIES if label not in shown]
        assert len(shown) == len(others) == 2
        asked = [(each.experiment.name, each.absent, each.label) for each in scores.answers]
        assert len(set(asked)) == len(asked)
        single = [each.name for each in experiments if "IoU-single" in each.metrics]
        assert set(asked) == {
            *product(single, ["shown"], shown),
            *((name, kind, label) for name in single for kind, label in made._absent.choose(sample.name, shown)),
        }  # type: ignore[union-attr]
        known: dict[tuple[str, int], tuple[int, float]] = {}
        for each in scores.answers:
            key = (each.experiment.name, each.label)
            if key not in known:
                known[key] = by_hand(segmenter, sample, each.experiment, each.label)
            claimed, margin = known[key]
            assert abs(each.claimed - claimed) <= 2
            assert each.margin == pytest.approx(margin, abs=1e-4)
            assert each.pixels == (sample.labels != 255).sum()


@pytest.mark.parametrize("method", ["maskclip", "gem", "tcl"])
@pytest.mark.parametrize("at_once", [0, 1 << 18])
def test_the_metrics_are_the_same_to_the_last_pixel(method: str, at_once: int, small_clip: Any, tmp_path: Path) -> None:
    segmenter, samples = small(method, small_clip), some_shown()
    # Only mIoU: its negatives that beta drops are texts that no shown query asks for.
    experiments = [*experiments_of(own=False), Experiment("far", cs.background_only(), beta=0.0)]
    passes = []
    for absent in (False, True):
        made = scorer(segmenter, experiments, absent)
        made._scores_at_once = at_once
        passes.append(score_images(data(samples), segmenter, made, SMALL, tmp_path / str(absent), "a"))
    for name in ("images", "counts", "taken", "cells"):
        assert getattr(passes[0], name).equals(getattr(passes[1], name)), name
    assert passes[0].presence is None
    assert passes[1].presence is not None
    assert passes[1].presence.schema == PRESENCE
    passes[0].save(tmp_path / "off")
    assert sorted(path.name for path in (tmp_path / "off").iterdir()) == [
        "cells.parquet", "counts.parquet", "images.parquet", "taken.parquet"
    ]  # fmt: skip


def test_texts_that_only_absent_queries_need(small_clip: Any) -> None:
    """Without mIoU, an image is otherwise compared with the texts of shown classes alone."""
    segmenter, [sample] = build("maskclip", small_clip), some_shown(1)
    mined = Experiment(
        "ccd", cs.from_mapping("ccd", {CLASSES[label]: [f"near {label}"] for label in QUERIES}), ("IoU-single",)
    )
    [(_, scores)] = scorer(segmenter, [mined]).score_all(encode_samples(segmenter, [sample], SMALL))
    for each in scores.answers:
        claimed, margin = by_hand(segmenter, sample, mined, each.label)
        assert abs(each.claimed - claimed) <= 2
        assert each.margin == pytest.approx(margin, abs=1e-4)


def test_a_stopped_pass_and_a_further_experiment(
    small_clip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contrastive_concepts.evaluation.streaming.IMAGES_PER_CHUNK", 2)
    segmenter, experiments, samples = build("maskclip", small_clip), experiments_of(own=False), some_shown()
    whole = score_images(data(samples), segmenter, scorer(segmenter, experiments), SMALL, tmp_path / "whole", "a")
    assert whole.presence is not None

    class Stopped(Scene):
        def read(self, name: str) -> Sample:
            if name == "image 3" and not (tmp_path / "again").exists():
                raise KeyboardInterrupt
            return super().read(name)

    stopped = cast("Dataset", Stopped(tuple(samples)))
    with pytest.raises(KeyboardInterrupt):
        score_images(stopped, segmenter, scorer(segmenter, experiments), SMALL, tmp_path / "stopped", "a")
    (tmp_path / "again").touch()
    resumed = score_images(stopped, segmenter, scorer(segmenter, experiments), SMALL, tmp_path / "stopped", "a")
    assert resumed.presence is not None
    assert resumed.presence.equals(whole.presence)

    first, second = (
        score_images(data(samples), segmenter, scorer(segmenter, part), SMALL, tmp_path / "parts", name)
        for name, part in (("one", experiments[:2]), ("other", experiments[2:]))
    )
    save_scored(tmp_path / "parts", first, "f", experiments[:2])
    known, before = scored_before(tmp_path / "parts", "f", presence=True)
    assert known is not None
    assert set(before) == {"ccd", "again"}
    joined = known.only({"again"}).with_experiments(known.only({"ccd"})).with_experiments(second)
    assert joined.presence is not None
    order = ["image", "experiment", "absent", "class"]
    assert joined.presence.sort(order).equals(whole.presence.sort(order))
    # Without its table, a pass is not known.
    (tmp_path / "parts" / "presence.parquet").rename(tmp_path / "parts" / "elsewhere")
    assert scored_before(tmp_path / "parts", "f", presence=True) == (None, {})
    assert scored_before(tmp_path / "parts", "f")[0] is not None
    # A later pass without absent queries leaves no table of an earlier one.
    first.save(tmp_path / "parts")
    replace(first, presence=None).save(tmp_path / "parts")
    assert not (tmp_path / "parts" / "presence.parquet").exists()
    assert PixelCounts.load(tmp_path / "parts").presence is None


def auc_of_pairs(shown: Sequence[float], absent: Sequence[float]) -> float:
    won = [1.0 if s > a else 0.5 if s == a else 0.0 for s, a in product(shown, absent)]
    return sum(won) / len(won) if won else float("nan")


@given(st.integers(0, 2**16), st.integers(1, 7), st.integers(1, 6), st.integers(0, 12), st.integers(0, 12))
@settings(max_examples=100, deadline=None)
def test_auc_and_mean_against_all_pairs_of_repeated_images(
    seed: int, images: int, levels: int, shown: int, absent: int
) -> None:
    stream = np.random.default_rng(seed)
    margins = [stream.integers(0, levels, count).astype(np.float32) for count in (shown, absent)]
    of = [stream.integers(0, images, count) for count in (shown, absent)]
    weights = stream.integers(0, 3, (4, images))
    repeated = [
        [
            [float(m) for m, image in zip(values, rows, strict=True) for _ in range(row[image])]
            for values, rows in zip(margins, of, strict=True)
        ]
        for row in weights
    ]
    expected = [auc_of_pairs(*pair) for pair in repeated]
    if shown + absent:
        found = weighted_auc(margins[0], margins[1], of[0], of[1], weights)
        assert np.allclose(found, expected, equal_nan=True)
    means = [np.mean(values) if values else np.nan for _, values in repeated]
    assert np.allclose(weighted_mean(margins[1], of[1], weights), means, equal_nan=True)


def test_auc_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = np.random.default_rng(0)
    shown, absent, weights = stream.random(9), stream.random(7), stream.integers(0, 3, (10, 5))
    arguments = (shown, absent, stream.integers(0, 5, 9), stream.integers(0, 5, 7), weights)
    at_once = weighted_auc(*arguments)
    monkeypatch.setattr("contrastive_concepts.evaluation.presence.AT_A_TIME", 48)
    assert np.array_equal(weighted_auc(*arguments), at_once)


def rows(experiment: str, answers: Sequence[tuple[str, str, int, int, float]]) -> pl.DataFrame:
    """image, absent, class, claimed of 100 pixels, margin"""
    return pl.DataFrame(
        [(experiment, image, kind, label, claimed, 100, margin) for image, kind, label, claimed, margin in answers],
        PRESENCE,
        orient="row",
    )


def test_measures_by_hand() -> None:
    table = rows(
        "ccd",
        [
            ("a", "shown", 1, 50, 0.4), ("a", "random", 2, 0, -0.5), ("a", "similar", 3, 90, 0.9),
            ("b", "shown", 2, 80, 0.1), ("b", "random", 1, 1, -0.1), ("c", "random", 3, 29, 0.2),
        ],
    )  # fmt: skip
    found = measure(table, "random", ["a", "b", "c", "d"], 0.01, draws=200)
    assert found["claimed"].value == pytest.approx((0 + 1 + 29) / 300)
    # 1 of 100 pixels is not more than 1 %.
    assert found["non-empty"].value == pytest.approx(1 / 3)
    assert found["presence"].value == pytest.approx(auc_of_pairs([0.4, 0.1], [-0.5, -0.1, 0.2]))
    assert len(found["claimed"].samples) == 200
    interval = found["claimed"].interval
    assert 0 <= interval.low <= interval.value <= interval.high <= 0.29
    assert found["claimed"].minus(found["claimed"]).high == 0
    assert measure(table, "similar", ["a", "b", "c"], 0.01, 10)["presence"].value == 0
    assert measure(table, "seen_together", ["a", "b", "c"], 0.01, 10) == {}


def test_the_paired_interval_is_that_of_repeated_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """All draws of three images: the samples are differences of the measures of these images."""
    answers = [
        ("a", "shown", 1, 9, 0.4),
        ("a", "random", 2, 7, 0.5),
        ("b", "shown", 2, 8, 0.1),
        ("b", "random", 1, 1, 0.0),
    ]
    one = rows("x", [*answers, ("c", "shown", 1, 2, 0.3), ("c", "random", 3, 29, 0.2)])
    other = rows("y", [*answers, ("c", "shown", 1, 2, 0.1), ("c", "random", 3, 60, 0.9)])
    draws = np.array([np.bincount(chosen, minlength=3) for chosen in permutations([0, 0, 1, 1, 2, 2], 3)])
    monkeypatch.setattr("contrastive_concepts.evaluation.presence.drawn_weights", lambda images, count: draws)
    measured = [measure(table, "random", ["a", "b", "c"], 0.01) for table in (one, other)]

    def claimed(table: pl.DataFrame, weights: Any) -> float:
        shares = dict(table.filter(pl.col("absent") == "random").select("image", "claimed").iter_rows())
        return float(np.average([shares[name] / 100 for name in "abc"], weights=weights))

    expected = [claimed(one, weights) - claimed(other, weights) for weights in draws]
    assert np.allclose(measured[0]["claimed"].samples - measured[1]["claimed"].samples, expected)
    low, high = np.percentile(expected, [2.5, 97.5])
    found = measured[0]["claimed"].minus(measured[1]["claimed"])
    assert (found.value, found.low, found.high) == pytest.approx(((29 - 60) / 300, low, high))


def test_results_and_summary(small_clip: Any, tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "segmenters": {"maskclip": {"method": "maskclip", "backbones": ["b"]}},
        "backbones": {"b": {"model": "ViT-B-16", "training_data": "Laion2B"}},
        "datasets": {"toy": {"kind": "toyworld", "images": 5}},
        "sets": {"bg": {"kind": "background"}, "ccd": {"kind": "dictionary"}},
        "draws": 50,
    }
    segmenter, samples = build("maskclip", small_clip), some_shown()
    experiments = [each for each in experiments_of(own=False) if each.name in ("ccd", "bg")]
    counts = score_images(data(samples), segmenter, scorer(segmenter, experiments), SMALL, tmp_path / "u", "a")
    counts.save(tmp_path / "pixels")
    names = [sample.name for sample in samples]
    description = DatasetDescription(kind="voc", classes=list(CLASSES), queries=QUERIES, images=names)
    folders = {("maskclip", "b", "toy"): tmp_path / "pixels"}
    off, on = (
        collect(BenchmarkSettings(**values, absent=absent), folders, {"toy": description})
        for absent in (None, {"min_area": 0.2})
    )
    for name in ("scores", "sweeps", "differences", "classes", "taken"):
        assert getattr(off, name).equals(getattr(on, name)), name
    assert off.absent.is_empty()
    assert off.absent_differences.is_empty()

    assert counts.presence is not None
    expected: dict[tuple[str, str, str], float] = {}
    for each, kind in product(("bg", "ccd"), KINDS):
        own = counts.presence.filter(pl.col("experiment") == each)
        shown, absent = (own.filter(pl.col("absent") == name).to_dicts() for name in ("shown", kind))
        expected[each, kind, "claimed"] = float(np.mean([row["claimed"] / row["pixels"] for row in absent]))
        expected[each, kind, "non-empty"] = float(np.mean([row["claimed"] > 0.2 * row["pixels"] for row in absent]))
        margins = ([row["margin"] for row in rows_of] for rows_of in (shown, absent))
        expected[each, kind, "presence"] = auc_of_pairs(*margins)
        [numbers] = on.absent.filter(set=each, absent=kind).select("queries", "shown").unique().rows()
        assert numbers == (len(absent), len(shown))
    found = {(row["set"], row["absent"], row["metric"]): row["value"] for row in on.absent.to_dicts()}
    assert found == pytest.approx({key: 100 * value for key, value in expected.items()})
    assert on.absent.select(pl.col("value").is_between("low", "high").all()).item()
    differences = {(row["absent"], row["metric"]): row for row in on.absent_differences.to_dicts()}
    assert len(differences) == 9
    for (kind, metric), row in differences.items():
        assert row["value"] == pytest.approx(found["ccd", kind, metric] - found["bg", kind, metric])
        assert row["low"] <= row["value"] <= row["high"]

    pages = [
        summary([], each.scores, each.differences, each.classes, each.taken, each.absent, each.absent_differences)
        for each in (off, on)
    ]
    assert pages[0] == summary([], off.scores, off.differences, off.classes, off.taken)
    assert "Absent" not in pages[0]
    assert "## Absent queries" in pages[1]
    row = differences["similar", "presence"]
    assert f"| {row['value']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}] |" in pages[1]
    lines = [line for line in pages[1].splitlines() if line.startswith("| maskclip | b | toy | similar | CC_D - BG |")]
    assert len(lines) == 1
