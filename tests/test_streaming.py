"""A pass over images: features on disk, chunks, reading beside it, and the same numbers as the metrics alone."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
import torch

from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation import contrastive_sets as cs
from contrastive_concepts.evaluation.classic import evaluate_classic
from contrastive_concepts.evaluation.datasets import Dataset, Sample
from contrastive_concepts.evaluation.features import (
    encode_samples,
    features_fingerprint,
    read_features,
    write_features,
)
from contrastive_concepts.evaluation.grid_bound import grid_of
from contrastive_concepts.evaluation.pixels import dense_counts
from contrastive_concepts.evaluation.scoring import Experiment, evaluate_single
from contrastive_concepts.evaluation.streaming import (
    KeptFeatures,
    read_images,
    save_scored,
    score_images,
    scored_before,
)
from contrastive_concepts.segmenters import build
from tests.scenes import CLASSES, QUERIES, SMALL, Scene, experiments_of, scene, scene_data, scorer_of, vectors
from tests.synthetic_clip import masker


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


def test_tables_killed_before_their_description_are_not_taken_for_the_old_ones(
    small_clip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter, experiments = build("maskclip", small_clip), experiments_of(own=False)
    counts = score_images(scene_data(), segmenter, scorer_of(segmenter, experiments), SMALL, tmp_path, "a")
    save_scored(tmp_path, counts, "a", experiments)
    assert scored_before(tmp_path, "a")[1].keys() == {each.name for each in experiments}

    def killed(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("contrastive_concepts.evaluation.streaming.os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            save_scored(tmp_path, counts, "b", experiments)
    assert scored_before(tmp_path, "a") == (None, {})


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
