"""The benchmark without Snakemake: features on disk, one cell, mined sets under other thresholds, results."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from contrastive_concepts.config.benchmark import BenchmarkSettings
from contrastive_concepts.config.contrastive_sets import (
    BackgroundSet,
    CcTextSet,
    DictionarySet,
    ImageOracleSet,
    ListSet,
    NoneSet,
    OracleSet,
    RandomSet,
)
from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.config.selection import SelectionSettings
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation import contrastive_sets as cs
from contrastive_concepts.evaluation.classic import evaluate_classic
from contrastive_concepts.evaluation.contrastive_sets import lists_of_queries, load_sets, resolve, save_sets
from contrastive_concepts.evaluation.datasets import Dataset, DatasetDescription, Sample
from contrastive_concepts.evaluation.features import (
    encode_samples,
    features_fingerprint,
    read_features,
    write_features,
)
from contrastive_concepts.evaluation.grid_bound import GridBound, grid_of
from contrastive_concepts.evaluation.pixels import COUNTS, dense_counts
from contrastive_concepts.evaluation.results import collect
from contrastive_concepts.evaluation.scoring import Experiment, Scorer, evaluate_single, experiment_texts
from contrastive_concepts.evaluation.streaming import (
    KeptFeatures,
    read_images,
    save_scored,
    score_images,
    scored_before,
)
from contrastive_concepts.evaluation.texts import embed_once, load_texts, update_texts
from contrastive_concepts.segmenters import build
from contrastive_concepts.selection.select import Tables, Thresholds, select
from tests.synthetic_clip import clip_model, draw, masker

SMALL = Protocol(short_side=64, long_side=256, window=64, stride=32, batch=4)
CLASSES = ("background", "boat", "water", "dog", "grass")
CONCEPTS = {"boat": ["water", "sky"], "water": ["boat", "sky", "rock"], "dog": ["grass"], "grass": ["dog", "sky"]}
QUERIES = [1, 2, 3, 4]


def vectors(texts: Sequence[str]) -> np.ndarray[Any, Any]:
    drawn = np.stack([draw(text, (64,), 5).numpy() for text in texts])
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def scene(count: int = 5, size: int = 72) -> list[Sample]:
    stream = np.random.default_rng(0)
    samples = []
    for index in range(count):
        image = stream.integers(0, 256, (size, size + 9 * index, 3), np.uint8)
        coarse = stream.integers(0, 5, (4, 4), np.uint8)
        labels = cv2.resize(coarse, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        labels[0, :5] = 255
        samples.append(Sample(f"image {index}", image, labels))
    return samples


@pytest.fixture(scope="module")
def small_clip() -> Any:
    return clip_model(layers=2, patch=8, size=64)


@dataclass(frozen=True)
class Scene:
    """Samples in memory, read by name as those of a data set."""

    samples: tuple[Sample, ...]
    classes: tuple[str, ...] = CLASSES
    queries: tuple[int, ...] = tuple(QUERIES)

    @property
    def names(self) -> list[str]:
        return [sample.name for sample in self.samples]

    def read(self, name: str) -> Sample:
        [sample] = [each for each in self.samples if each.name == name]
        return sample


def scene_data(count: int = 5) -> Dataset:
    return cast("Dataset", Scene(tuple(scene(count))))


@pytest.mark.parametrize("method", ["maskclip", "tcl"])
def test_encoded_images_come_back_from_disk(method: str, small_clip: Any, tmp_path: Path) -> None:
    options = {"checkpoint": masker(layers=2)} if method == "tcl" else {}
    segmenter = build(method, small_clip, **options)
    samples = scene()
    encoded = list(encode_samples(segmenter, samples, SMALL))
    path = tmp_path / "f" / "000000.safetensors"
    write_features(path, encoded, segmenter.scored_extra, fingerprint="a")
    assert features_fingerprint(path) == "a"
    assert features_fingerprint(tmp_path / "none") is None
    for sample, made, read in zip(samples, encoded, read_features(path), strict=True):
        assert read.name == sample.name
        assert np.array_equal(read.labels, sample.labels)
        assert (read.encoded.windows, read.encoded.resized, read.encoded.original) == (
            made.encoded.windows,
            made.encoded.resized,
            made.encoded.original,
        )
        one, other = read.encoded.features, made.encoded.features
        assert torch.equal(one.dense, other.dense)
        assert one.size == other.size
        assert set(one.extra) == set(segmenter.scored_extra)
        assert all(torch.equal(one.extra[name], other.extra[name]) for name in one.extra)


def test_half_precision_features_round_and_are_half_as_large(small_clip: Any, tmp_path: Path) -> None:
    encoded = list(encode_samples(build("maskclip", small_clip), scene(), SMALL))
    write_features(tmp_path / "float32", encoded)
    write_features(tmp_path / "float16", encoded, precision="float16")
    sizes = [(tmp_path / name).stat().st_size for name in ("float16", "float32")]
    assert 0.45 < sizes[0] / sizes[1] < 0.7
    one, other = (next(read_features(tmp_path / name)).encoded.features.dense for name in ("float16", "float32"))
    assert one.dtype == torch.float32
    assert 0 < float((one - other).abs().max()) < 1e-2 * float(other.abs().max())


@pytest.mark.parametrize("method", ["maskclip", "gem", "tcl"])
def test_images_of_a_batch_are_encoded_as_alone(method: str, small_clip: Any) -> None:
    options = {"checkpoint": masker(layers=2)} if method == "tcl" else {}
    segmenter, samples = build(method, small_clip, **options), scene()
    together = list(encode_samples(segmenter, samples, SMALL.model_copy(update={"batch": 100})))
    for sample, made in zip(samples, together, strict=True):
        [alone] = encode_samples(segmenter, [sample], SMALL)
        assert made.encoded.windows == alone.encoded.windows
        assert torch.allclose(made.encoded.features.dense, alone.encoded.features.dense, atol=1e-5)


def scorer_of(segmenter: Any, experiments: Sequence[Experiment]) -> Scorer:
    texts = embed_once(experiment_texts(segmenter, CLASSES, QUERIES, experiments), vectors)
    return Scorer(segmenter, CLASSES, QUERIES, experiments, texts)


def experiments_of(own: bool) -> list[Experiment]:
    """Sets with and without "background", an oracle, a repeated set, and own background handling if there is one."""
    mined = cs.from_mapping("ccd", CONCEPTS, background=True)
    return [
        Experiment("ccd", mined, beta=0.9),
        Experiment("again", mined, beta=1.0),
        Experiment("bg", cs.background_only(), beta=0.9),
        Experiment("own", cs.background_only(original=own), beta=0.9),
        Experiment("oracle", cs.image_oracle(CLASSES), ("IoU-single",)),
    ]


@pytest.mark.parametrize("method", ["maskclip", "gem", "tcl"])
def test_a_pass_scores_as_the_metrics_alone_do(
    method: str, small_clip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contrastive_concepts.evaluation.streaming.IMAGES_PER_CHUNK", 2)
    options = {"checkpoint": masker(layers=2)} if method == "tcl" else {}
    segmenter, data, samples = build(method, small_clip, **options), scene_data(), scene()
    experiments = experiments_of(segmenter.background_is is not None)
    counts = score_images(data, segmenter, scorer_of(segmenter, experiments), SMALL, tmp_path, "a")
    sets = [each.contrastive_set for each in experiments]
    for each, single in zip(
        experiments, evaluate_single(segmenter, samples, CLASSES, QUERIES, sets, vectors, SMALL), strict=True
    ):
        own = counts.counts.filter(pl.col("experiment") == each.name)
        found = dense_counts(own.filter(pl.col("metric") == "IoU-single"), data.names, len(CLASSES))
        assert np.abs(found[0] - single.intersection).max() <= 2
        assert np.abs(found[1] - single.union).max() <= 2
        if "mIoU" not in each.metrics:
            assert own.filter(pl.col("metric") == "mIoU").is_empty()
            continue
        classic = evaluate_classic(
            segmenter, samples, CLASSES, QUERIES, each.contrastive_set, vectors, SMALL, each.beta
        )
        found = dense_counts(own.filter(pl.col("metric") == "mIoU"), data.names, len(CLASSES))
        assert np.abs(found[0] - classic.intersection).max() <= 2
        assert np.abs(found[1] - classic.union).max() <= 2
    one, other = (counts.only([name]).counts.drop("experiment") for name in ("ccd", "again"))
    assert one.filter(pl.col("metric") == "IoU-single").equals(other.filter(pl.col("metric") == "IoU-single"))


@pytest.mark.parametrize("method", ["maskclip", "gem", "tcl"])
@pytest.mark.parametrize("scores_at_once", [1 << 18, 1 << 24])
def test_sets_scored_together_give_what_each_gives_alone(method: str, scores_at_once: int, small_clip: Any) -> None:
    """As on a GPU, where several sets of texts are compared at once."""
    options = {"checkpoint": masker(layers=2)} if method == "tcl" else {}
    segmenter = build(method, small_clip, **options)
    experiments = [
        *experiments_of(segmenter.background_is is not None),
        Experiment("others", cs.oracle(CLASSES), ("IoU-single",)),
    ]
    alone, together = scorer_of(segmenter, experiments), scorer_of(segmenter, experiments)
    together._scores_at_once, together._ahead = scores_at_once, 2
    samples = list(encode_samples(segmenter, scene(), SMALL))
    for (_, one), (_, other) in zip(alone.score_all(samples), together.score_all(samples), strict=True):
        assert len(one.tallies) > 0
        for first, second in zip(one.tallies, other.tallies, strict=True):
            assert first[:4] == second[:4]
            # Rounding can move a pixel whose two best texts are equally near.
            assert np.abs(first.pixels - second.pixels).sum() <= 4
            assert abs(first.none - second.none) <= 2
        for first_of, second_of in zip(one.confusions, other.confusions, strict=True):
            assert np.abs(first_of[1] - second_of[1]).sum() <= 6


def test_a_pass_goes_on_from_the_last_chunk(small_clip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped while it reads the fourth image, with two images a chunk."""
    monkeypatch.setattr("contrastive_concepts.evaluation.streaming.IMAGES_PER_CHUNK", 2)
    segmenter, experiments = build("maskclip", small_clip), experiments_of(own=False)
    scorer = scorer_of(segmenter, experiments)
    whole = score_images(scene_data(), segmenter, scorer, SMALL, tmp_path / "whole", "a")

    read: list[str] = []

    class Stopped(Scene):
        def read(self, name: str) -> Sample:
            read.append(name)
            if len(read) == 4:
                raise KeyboardInterrupt
            return super().read(name)

    data = cast("Dataset", Stopped(tuple(scene())))
    with pytest.raises(KeyboardInterrupt):
        score_images(data, segmenter, scorer, SMALL, tmp_path / "stopped", "a")
    seen: list[int] = []
    resumed = score_images(data, segmenter, scorer, SMALL, tmp_path / "stopped", "a", progress=seen.append)
    assert read[4:] == ["image 2", "image 3", "image 4"]
    assert seen == [2, 3, 4, 5]
    for name in ("images", "counts", "taken", "cells"):
        assert getattr(resumed, name).equals(getattr(whole, name)), name
    score_images(data, segmenter, scorer, SMALL, tmp_path / "stopped", "another")
    assert read[7:] == data.names


def test_kept_features_are_scored_without_the_images(
    small_clip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contrastive_concepts.evaluation.streaming.IMAGES_PER_CHUNK", 2)
    segmenter, experiments = build("maskclip", small_clip), experiments_of(own=False)
    kept = KeptFeatures(tmp_path / "features", "float32", "a")
    first = score_images(
        scene_data(), segmenter, scorer_of(segmenter, experiments), SMALL, tmp_path / "one", "a", features=kept
    )
    assert [kept.has(number) for number in range(4)] == [True, True, True, False]
    assert not KeptFeatures(tmp_path / "features", "float32", "b").has(0)

    class Unread(Scene):
        def read(self, name: str) -> Sample:
            raise AssertionError(name)

    # A MaskCLIP without its CLIP model, on features from disk.
    alone = build("maskclip", None)
    data = cast("Dataset", Unread(tuple(scene())))
    again = score_images(data, alone, scorer_of(alone, experiments), SMALL, tmp_path / "two", "b", features=kept)
    assert again.counts.equals(first.counts)
    assert again.taken.equals(first.taken)


def test_what_is_known_is_not_scored_again(small_clip: Any, tmp_path: Path) -> None:
    segmenter, experiments = build("maskclip", small_clip), experiments_of(own=False)
    counts = score_images(scene_data(), segmenter, scorer_of(segmenter, experiments), SMALL, tmp_path, "a")
    assert scored_before(tmp_path, "a") == (None, {})
    save_scored(tmp_path, counts, "a", experiments)
    assert not (tmp_path / "unfinished").exists()
    known, before = scored_before(tmp_path, "a")
    assert known is not None
    assert known.counts.equals(counts.counts)
    assert before == {each.name: each.fingerprint for each in experiments}
    assert scored_before(tmp_path, "b") == (None, {})
    fewer = known.only({"ccd"})
    further = known.only({"bg"})
    both = fewer.with_experiments(further)
    assert set(both.counts["experiment"]) == {"ccd", "bg"}
    [one, other] = (Experiment("ccd", cs.background_only(), beta=beta) for beta in (0.9, 0.8))
    assert one.fingerprint != other.fingerprint


def test_images_are_read_by_other_processes_in_order() -> None:
    names = scene_data().names
    assert [sample.name for sample in read_images(scene_data(), names, SMALL, workers=2)] == names
    for one, other in zip(
        read_images(scene_data(), names, SMALL, 2), read_images(scene_data(), names, SMALL), strict=True
    ):
        assert np.array_equal(one.crops.pixels, other.crops.pixels)
        assert np.array_equal(one.labels, other.labels)


class Damaged(Scene):
    def read(self, name: str) -> Sample:
        if name == "image 1":
            raise UserError("image 1: cannot be decoded")
        return super().read(name)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_cannot_be_read_is_one_line(workers: int) -> None:
    data = cast("Dataset", Damaged(tuple(scene())))
    with pytest.raises(UserError, match=r"^image 1: cannot be decoded$"):
        list(read_images(data, data.names, SMALL, workers))


def test_no_image_is_an_error(small_clip: Any, tmp_path: Path) -> None:
    segmenter = build("maskclip", small_clip)
    with pytest.raises(UserError, match="0 images"):
        score_images(scene_data(0), segmenter, scorer_of(segmenter, experiments_of(own=False)), SMALL, tmp_path, "a")


def test_a_segmenter_without_a_clip_model_does_not_encode() -> None:
    with pytest.raises(UserError, match="expected an open_clip ViT"):
        build("maskclip", None).encode_image(np.zeros((64, 64, 3), np.uint8))


def test_the_grid_is_that_of_the_patches(small_clip: Any) -> None:
    [sample] = encode_samples(build("maskclip", small_clip), scene(1, 80), SMALL)
    assert sample.encoded.resized == (64, 64)
    assert grid_of(sample.encoded) == (8, 8)


def test_texts_are_embedded_once(tmp_path: Path) -> None:
    asked: list[str] = []

    def embed(texts: Sequence[str]) -> np.ndarray[Any, Any]:
        asked.extend(texts)
        return vectors(texts)

    path = tmp_path / "texts.parquet"
    assert update_texts(path, ["boat", "sky", "boat"], embed, "model a") == 2
    assert update_texts(path, ["sky", "rock"], embed, "model a") == 1
    assert asked == ["boat", "sky", "rock"]
    rows = load_texts(path)
    assert list(rows.row) == ["sky", "rock"]
    assert np.array_equal(rows.select(["rock", "sky"]).numpy(), vectors(["rock", "sky"]))
    assert update_texts(path, ["sky", "rock"], embed, "model b") == 2
    with pytest.raises(UserError, match="cannot be read as text embeddings"):
        load_texts(tmp_path / "none.parquet")


def stage_tables() -> Tables:
    names = ["boat", "ship", "water", "freedom", "photo", "sky"]
    matrix = np.array(
        [
            [100, 40, 50, 30, 60, 2],
            [40, 80, 30, 5, 5, 1],
            [50, 30, 90, 5, 5, 20],
            [30, 5, 5, 60, 5, 1],
            [60, 5, 5, 5, 95, 9],
            [2, 1, 20, 1, 9, 70],
        ]
    )
    angles = np.radians([0, 20, 80, 70, 75, 90])
    concepts = pl.DataFrame({"concept_id": range(6), "concept": names, "count": np.diag(matrix)}).with_columns(
        pl.col("concept_id").cast(pl.Int32)
    )
    visible = [True, True, True, False, True, True]
    verdicts = pl.DataFrame(
        {"concept": names, "p_visible": [float(v) for v in visible], "visible": visible, "parsed": [True] * 6}
    )
    embeddings = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    return Tables(concepts, sparse.csr_array(matrix), verdicts, embeddings)


@pytest.mark.parametrize(
    ("change", "boat"),
    [
        ({}, ["water", "sky"]),
        ({"filters": []}, ["photo", "water", "ship", "freedom", "sky"]),
        ({"filters": ["stop_list", "visible"]}, ["water", "ship", "sky"]),
        ({"filters": ["similar"]}, ["photo", "water", "freedom", "sky"]),
        ({"gamma": 0.02}, ["water"]),
        ({"gamma": 0.001}, ["water", "sky"]),
        ({"delta": 0.95}, ["water", "ship", "sky"]),
        ({"delta": 0.1}, ["sky"]),
    ],
)
def test_selection_under_other_settings(change: dict[str, Any], boat: list[str]) -> None:
    settings = DictionarySet(kind="dictionary", **change)
    thresholds = Thresholds.of(SelectionSettings(), "corpus", "drop")
    assert select(stage_tables(), thresholds.changed_by(settings)).lists["boat"] == boat


def test_a_query_takes_the_list_of_its_nearest_concept() -> None:
    matches = pl.DataFrame({"query": ["boat", "vessel"], "concept": ["boat", "ship"]})
    lists = lists_of_queries({"boat": ["water"], "ship": ["ship", "sea"]}, matches)
    assert lists == {"boat": ["water"], "vessel": ["sea"]}


def test_configured_sets_become_texts(tmp_path: Path) -> None:
    classes, queries = CLASSES, CLASSES[1:]
    text = tmp_path / "cc.txt"
    text.write_text("background\nbackground, sea\nsky\ncat, background\nbackground\n")

    def made(settings: Any, **more: Any) -> cs.ContrastiveSet:
        chosen = resolve("x", settings, classes, queries, **more)
        save_sets(tmp_path / "x.json", {"x": chosen})
        assert load_sets(tmp_path / "x.json")["x"].negatives("boat", queries) == chosen.negatives("boat", queries)
        return chosen

    assert made(NoneSet(kind="none")).negatives("boat") == ()
    assert made(BackgroundSet(kind="background")).negatives("boat") == ("background",)
    mined = made(DictionarySet(kind="dictionary"), lists=CONCEPTS)
    assert mined.negatives("boat") == ("background", "water", "sky")
    alone = made(DictionarySet(kind="dictionary", background=False), lists=CONCEPTS)
    assert alone.negatives("boat") == ("water", "sky")
    files = CcTextSet(kind="cc_text", files={"d": "cc.txt"})
    assert made(files, text=text).negatives("boat") == ("background", "sea")
    without = files.model_copy(update={"background": False})
    assert made(without, text=text).negatives("dog") == ("cat",)
    assert made(ListSet(kind="list", concepts=["wall", "boat"])).negatives("boat") == ("background", "wall")
    assert made(OracleSet(kind="oracle")).negatives("boat") == ("water", "dog", "grass")
    assert made(ImageOracleSet(kind="image_oracle")).negatives("boat", ["boat", "dog"]) == ("dog",)
    words = [f"w{n}" for n in range(9)]
    control = made(RandomSet(kind="random", like="ccd"), like=mined, words=words)
    assert len(control.negatives("boat")) == len(mined.negatives("boat"))
    assert set(control.negatives("boat")[1:]) <= set(words)
    text.write_text("one line\n")
    with pytest.raises(UserError, match="found 1 lines, expected 4 or 5"):
        made(files, text=text)


def benchmark(**changes: Any) -> BenchmarkSettings:
    values: dict[str, Any] = {
        "segmenters": {"maskclip": {"method": "maskclip", "backbones": ["b"]}},
        "backbones": {"b": {"model": "ViT-B-16", "training_data": "Laion2B"}},
        "datasets": {"toy": {"kind": "toyworld", "images": 5}},
        "sets": {"bg": {"kind": "background"}, "ccd": {"kind": "dictionary"}, "all": {"kind": "oracle"}},
        "draws": 50,
    }
    return BenchmarkSettings(**{**values, **changes})


def test_results_of_a_folder(small_clip: Any, tmp_path: Path) -> None:
    settings = benchmark(
        sweeps=[{"threshold": "beta", "values": [0, 1], "set": "ccd", "dataset": "toy"}],
    )
    segmenter, samples = build("maskclip", small_clip), scene()
    chosen = {
        "bg": cs.background_only(),
        "ccd": cs.from_mapping("ccd", CONCEPTS, background=True),
        "all": cs.oracle(CLASSES),
    }
    experiments = [
        Experiment(name, chosen[of], tuple(metrics), 0.9 if beta is None else beta)
        for name, of, metrics, beta in settings.experiments("maskclip", "b", "toy")
    ]
    assert [each.name for each in experiments] == ["bg", "ccd", "all", "beta~0.0/ccd", "beta~1.0/ccd"]
    scorer = scorer_of(segmenter, experiments)
    counts = score_images(scene_data(), segmenter, scorer, SMALL, tmp_path / "unfinished", "a")
    counts.save(tmp_path / "pixels")
    names = [sample.name for sample in samples]
    description = DatasetDescription(kind="voc", classes=list(CLASSES), queries=QUERIES, images=names)

    results = collect(settings, {("maskclip", "b", "toy"): tmp_path / "pixels"}, {"toy": description})
    [plain] = evaluate_single(segmenter, samples, CLASSES, QUERIES, [chosen["ccd"]], vectors, SMALL)
    row = results.scores.filter((pl.col("set") == "ccd") & (pl.col("metric") == "IoU-single")).row(0, named=True)
    assert row["value"] == pytest.approx(100 * plain.iou_single())
    assert row["pair_mean"] == pytest.approx(100 * plain.pair_mean())
    assert row["image_mean"] == pytest.approx(100 * plain.image_mean())
    bound = GridBound(5, QUERIES)
    for sample in encode_samples(segmenter, samples, SMALL):
        bound.add(sample.labels, grid_of(sample.encoded))
    assert row["grid_bound"] == pytest.approx(100 * np.nanmean(bound.iou()))
    assert (row["column"], row["images"]) == ("CC_D", 5)
    assert row["low"] <= row["value"] <= row["high"]
    assert results.scores.height == 2 + 2 + 1
    difference = results.differences.filter((pl.col("first") == "CC_D") & (pl.col("metric") == "IoU-single"))
    other = results.scores.filter((pl.col("set") == "bg") & (pl.col("metric") == "IoU-single"))["value"][0]
    assert difference["value"][0] == pytest.approx(row["value"] - other)
    assert results.sweeps["step"].to_list() == [0.0, 1.0]
    expected = [
        100 * evaluate_classic(segmenter, samples, CLASSES, QUERIES, chosen["ccd"], vectors, SMALL, beta).miou()
        for beta in (0.0, 1.0)
    ]
    assert results.sweeps["value"].to_list() == pytest.approx(expected)
    assert expected[0] != pytest.approx(expected[1])
    boat = results.classes.filter((pl.col("class") == "boat") & (pl.col("set") == "ccd")).row(0, named=True)
    assert boat["iou"] == pytest.approx(100 * plain.per_class()[1])
    shares = results.taken.filter((pl.col("set") == "ccd") & (pl.col("query") == "boat"))
    assert shares["share"].sum() == pytest.approx(1)
    assert shares["pixels"].is_sorted(descending=True)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**16))
def test_counts_survive_their_sparse_form(images: int, classes: int, seed: int) -> None:
    union = np.random.default_rng(seed).integers(0, 3, (images, classes))
    intersection = np.minimum(union, 1)
    names = [str(n) for n in range(images)]
    rows = [
        ("a", "mIoU", names[row], label, intersection[row, label], union[row, label])
        for row, label in np.argwhere(union)
    ]
    found = dense_counts(pl.DataFrame(rows, COUNTS, orient="row"), names, classes)
    assert np.array_equal(found[0], intersection)
    assert np.array_equal(found[1], union)
