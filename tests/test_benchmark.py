"""The benchmark without Snakemake: features on disk, one cell, mined sets under other thresholds, results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from contrastive_concepts.evaluation.cell import cell_texts, dense_counts, run_cell
from contrastive_concepts.evaluation.classic import evaluate_classic
from contrastive_concepts.evaluation.contrastive_sets import lists_of_queries, load_set, resolve, save_set
from contrastive_concepts.evaluation.datasets import DatasetDescription, Sample
from contrastive_concepts.evaluation.features import encode_samples, grid_of, read_features, write_features
from contrastive_concepts.evaluation.results import collect
from contrastive_concepts.evaluation.single import evaluate_single
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


@pytest.mark.parametrize("method", ["maskclip", "tcl"])
def test_encoded_images_come_back_from_disk(
    method: str, small_clip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contrastive_concepts.evaluation.features.IMAGES_PER_CHUNK", 2)
    options = {"checkpoint": masker(layers=2)} if method == "tcl" else {}
    segmenter = build(method, small_clip, **options)
    samples = scene()
    assert write_features(tmp_path / "f", encode_samples(segmenter, samples, SMALL), segmenter.scored_extra) == 5
    assert len(list((tmp_path / "f").iterdir())) == 3
    for sample, made, read in zip(
        samples, encode_samples(segmenter, samples, SMALL), read_features(tmp_path / "f"), strict=True
    ):
        assert read.name == sample.name
        assert np.array_equal(read.labels, sample.labels)
        assert (read.encoded.windows, read.encoded.resized, read.encoded.original) == (
            made.encoded.windows,
            made.encoded.resized,
            made.encoded.original,
        )
        for one, other in zip(read.encoded.features, made.encoded.features, strict=True):
            assert torch.equal(one.dense, other.dense)
            assert one.size == other.size
            assert set(one.extra) == set(segmenter.scored_extra)
            assert all(torch.equal(one.extra[name], other.extra[name]) for name in one.extra)


def test_half_precision_features_round_and_are_half_as_large(small_clip: Any, tmp_path: Path) -> None:
    segmenter = build("maskclip", small_clip)
    for precision in ("float32", "float16"):
        write_features(tmp_path / precision, encode_samples(segmenter, scene(), SMALL), precision=precision)
    sizes = [sum(f.stat().st_size for f in (tmp_path / p).iterdir()) for p in ("float16", "float32")]
    assert 0.45 < sizes[0] / sizes[1] < 0.7
    one, other = (next(read_features(tmp_path / p)).encoded.features[0].dense for p in ("float16", "float32"))
    assert one.dtype == torch.float32
    assert 0 < float((one - other).abs().max()) < 1e-2 * float(other.abs().max())


def test_no_image_is_an_error(small_clip: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="0 images"):
        write_features(tmp_path / "f", [])
    with pytest.raises(UserError, match="found no encoded images"):
        list(read_features(tmp_path / "none"))


def test_a_cell_scores_as_the_metrics_alone_do(small_clip: Any, tmp_path: Path) -> None:
    """A MaskCLIP without its CLIP model, on features from disk."""
    segmenter, samples = build("maskclip", small_clip), scene()
    write_features(tmp_path / "f", encode_samples(segmenter, samples, SMALL))
    chosen = cs.from_mapping("ccd", CONCEPTS, background=True)
    scorer = build("maskclip", None)
    texts = embed_once(cell_texts(scorer, CLASSES, QUERIES, chosen), vectors)
    cell = run_cell(scorer, read_features(tmp_path / "f"), CLASSES, QUERIES, chosen, texts, beta=0.9)
    (tmp_path / "cell").mkdir()
    cell.save(tmp_path / "cell")
    stored = pl.read_parquet(tmp_path / "cell" / "counts.parquet")

    [single] = evaluate_single(segmenter, samples, CLASSES, QUERIES, [chosen], vectors, SMALL)
    found = dense_counts(stored.filter(pl.col("metric") == "IoU-single"), cell.images, len(CLASSES))
    assert np.array_equal(found[0], single.intersection)
    assert np.array_equal(found[1], single.union)
    classic = evaluate_classic(segmenter, samples, CLASSES, QUERIES, chosen, vectors, SMALL)
    found = dense_counts(stored.filter(pl.col("metric") == "mIoU"), cell.images, len(CLASSES))
    assert np.array_equal(found[0], classic.intersection)
    assert np.array_equal(found[1], classic.union)
    taken = {(query, text): pixels for query, text, pixels in cell.taken.iter_rows()}
    assert taken == {(q, text): n for q, each in single.taken.items() for text, n in each.items()}
    with pytest.raises(UserError, match="0 images"):
        run_cell(scorer, [], CLASSES, QUERIES, chosen, texts)


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
        save_set(tmp_path / "x.json", chosen)
        assert load_set(tmp_path / "x.json").negatives("boat", queries) == chosen.negatives("boat", queries)
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
    places = [(cell.folder, cell.set, settings.metrics(cell.set), 0.9) for cell in settings.cells()]
    places += [(point.folder, point.set, [point.metric], point.value) for point in settings.sweep_points()]
    for place, name, metrics, beta in places:
        texts = embed_once(cell_texts(segmenter, CLASSES, QUERIES, chosen[name]), vectors)
        encoded = encode_samples(segmenter, samples, SMALL)
        (tmp_path / place).mkdir(parents=True)
        run_cell(segmenter, encoded, CLASSES, QUERIES, chosen[name], texts, metrics, beta).save(tmp_path / place)
    names = [sample.name for sample in samples]
    description = DatasetDescription(kind="voc", classes=list(CLASSES), queries=QUERIES, images=names)
    (tmp_path / "bounds" / "maskclip" / "b").mkdir(parents=True)
    bounds = pl.DataFrame({"class": CLASSES, "bound": [float("nan"), 0.5, 0.7, 0.9, 0.9]})
    bounds.write_parquet(tmp_path / "bounds" / "maskclip" / "b" / "toy.parquet")

    folders = [tmp_path / each.folder for each in (*settings.cells(), *settings.sweep_points())]
    bound = {("maskclip", "b", "toy"): tmp_path / "bounds" / "maskclip" / "b" / "toy.parquet"}
    results = collect(settings, folders, {"toy": description}, bound)
    [plain] = evaluate_single(segmenter, samples, CLASSES, QUERIES, [chosen["ccd"]], vectors, SMALL)
    row = results.scores.filter((pl.col("set") == "ccd") & (pl.col("metric") == "IoU-single")).row(0, named=True)
    assert row["value"] == pytest.approx(100 * plain.iou_single())
    assert row["pair_mean"] == pytest.approx(100 * plain.pair_mean())
    assert row["image_mean"] == pytest.approx(100 * plain.image_mean())
    assert row["grid_bound"] == pytest.approx(75)
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
    from contrastive_concepts.evaluation.cell import _rows

    union = np.random.default_rng(seed).integers(0, 3, (images, classes))
    intersection = np.minimum(union, 1)
    names = [str(n) for n in range(images)]
    found = dense_counts(_rows(names, intersection, union), names, classes)
    assert np.array_equal(found[0], intersection)
    assert np.array_equal(found[1], union)
