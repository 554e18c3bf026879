"""The benchmark without Snakemake: texts, mined sets under other thresholds, results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
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
from contrastive_concepts.config.selection import SelectionSettings
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation import contrastive_sets as cs
from contrastive_concepts.evaluation.classic import evaluate_classic
from contrastive_concepts.evaluation.contrastive_sets import lists_of_queries, load_sets, resolve, save_sets
from contrastive_concepts.evaluation.datasets import DatasetDescription
from contrastive_concepts.evaluation.features import (
    encode_samples,
)
from contrastive_concepts.evaluation.grid_bound import GridBound, grid_of
from contrastive_concepts.evaluation.pixels import COUNTS, dense_counts
from contrastive_concepts.evaluation.results import collect
from contrastive_concepts.evaluation.scoring import Experiment, evaluate_single
from contrastive_concepts.evaluation.streaming import (
    score_images,
)
from contrastive_concepts.evaluation.texts import load_texts, update_texts
from contrastive_concepts.segmenters import build
from contrastive_concepts.selection.select import Tables, Thresholds, select
from tests.scenes import CLASSES, CONCEPTS, QUERIES, SMALL, scene, scene_data, scorer_of, vectors


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
    assert np.array_equal(rows.select(["rock", "sky"]), vectors(["rock", "sky"]))
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
