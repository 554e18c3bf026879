"""What contrastive concepts gain by class, against counting one by one; and what is said of it."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrastive_concepts.config.benchmark import BenchmarkSettings
from contrastive_concepts.evaluation.contrastive_sets import from_mapping
from contrastive_concepts.evaluation.datasets import DatasetDescription
from contrastive_concepts.evaluation.gains import (
    CAUSES,
    GAINS,
    Facts,
    class_gains,
    explained_variance,
    losing,
    predictors,
    read_facts,
)
from contrastive_concepts.evaluation.grid_bound import CELLS
from contrastive_concepts.evaluation.pixels import COUNTS, PixelCounts
from contrastive_concepts.evaluation.pixels import TAKEN as PIXELS_TAKEN
from contrastive_concepts.evaluation.results import collect
from contrastive_concepts.evaluation.texts import TextRows
from contrastive_concepts.report.gains import gains_page

CLASSES = ("background", "boat", "pine tree", "sea", "dog")
LISTS = {
    "boat": ["sea", "sky", "ship"],
    "pine tree": ["tree", "sky"],
    "sea": ["sky", "boat", "beach"],
    "dog": ["grass", "sky", "sofa", "garden"],
}
TAKEN = [  # query, concept, pixels, own
    ("boat", "sea", 50, 9), ("boat", "sky", 90, 3), ("boat", "background", 10, 50),
    ("pine tree", "tree", 20, 20), ("pine tree", "sky", 30, 2),
    ("sea", "sky", 40, 30), ("sea", "beach", 5, 1),
    ("dog", "grass", 10, 2), ("dog", "sky", 10, 2), ("dog", "sofa", 3, 2), ("dog", "garden", 3, 2),
]  # fmt: skip


def facts() -> Facts:
    texts = list(dict.fromkeys([*LISTS, *(text for listed in LISTS.values() for text in listed), "background"]))
    vectors = {text: np.eye(len(texts), dtype=np.float32)[row] for row, text in enumerate(texts)}
    vectors["ship"] = vectors["boat"]
    captions = {"boat": 10, "pine tree": 20, "sea": 30}
    return Facts(from_mapping("ccd", LISTS, True), vectors, captions, {"boat": 0.5, "pine tree": None})


def numbers() -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(0)
    truth, before = rng.integers(20, 40, (6, 5)), rng.integers(5, 20, (6, 5))
    wrong = rng.integers(10, 30, (6, 5))
    before = np.minimum(before, truth)
    shown = rng.random((6, 5)) < 0.8
    shown[:, 0] = False
    after = np.maximum(before - rng.integers(0, 5, (6, 5)), 0)
    less = np.maximum(wrong - rng.integers(0, 12, (6, 5)), 0)
    return tuple(np.where(shown, each, 0).astype(np.int64) for each in (after, truth + less, before, truth + wrong))


def table() -> pl.DataFrame:
    after, after_union, before, before_union = numbers()
    taken = pl.DataFrame(TAKEN, ["query", "concept", "pixels", "own"], orient="row")
    return class_gains((after, after_union), (before, before_union), CLASSES, taken, facts(), 200)


def test_each_class_counted_one_by_one() -> None:
    after, after_union, before, before_union = numbers()
    found = table()
    assert dict(found.schema) == GAINS
    assert found["class"].to_list() == list(CLASSES[1:])
    for row in found.iter_rows(named=True):
        label = CLASSES.index(row["class"])
        images = [image for image in range(6) if after_union[image, label]]
        sums = [sum(int(each[image, label]) for image in images) for each in (after, after_union, before, before_union)]
        assert row["images"] == len(images)
        assert row["contrastive"] == pytest.approx(100 * sums[0] / sums[1])
        assert row["background"] == pytest.approx(100 * sums[2] / sums[3])
        assert row["gain"] == pytest.approx(row["contrastive"] - row["background"])
        assert row["low"] <= row["gain"] <= row["high"]
        assert row["removed"] == pytest.approx(100 * (sums[3] - sums[1]) / sums[3])
        assert row["lost"] == pytest.approx(100 * (sums[2] - sums[0]) / sums[3])
        lower = [
            image
            for image in images
            if after[image, label] / after_union[image, label] < before[image, label] / before_union[image, label]
        ]
        assert row["lower_images"] == pytest.approx(100 * len(lower) / len(images))
        assert row["negatives"] == len(LISTS[row["class"]])
    assert found["nearest"].to_list() == [1, 0, 0, 0]
    assert found["captions"].to_list() == [10, 20, 30, None]
    assert found["p_visible"].to_list() == [0.5, None, None, None]


def test_who_took_a_class_and_why() -> None:
    found = {row["class"]: row for row in table().iter_rows(named=True)}
    assert (found["boat"]["taker"], found["boat"]["taker_share"]) == ("sea", 75)  # "background" took more
    assert found["pine tree"]["cause"] == "a word of the name"
    assert found["sea"]["cause"] == "scene word"  # sky is in every list
    assert found["dog"]["cause"] == "many texts"
    assert found["boat"]["cause"] == "seen with it"
    near = facts()
    near.vectors["sea"][:] = near.vectors["boat"]  # type: ignore[index]
    taken = pl.DataFrame(TAKEN, ["query", "concept", "pixels", "own"], orient="row")
    after, after_union, before, before_union = numbers()
    again = class_gains((after, after_union), (before, before_union), CLASSES, taken, near, 20)
    assert again.row(0, named=True)["cause"] == "near"
    nothing = class_gains((after, after_union), (before, before_union), CLASSES, taken.clear(), facts(), 20)
    assert nothing["cause"].to_list() == nothing["taker"].to_list() == [None] * 4


def drawn(count: int, seed: int = 0, noise: float = 0.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    columns = {name: rng.random(count) for name in ("nearest", "p_visible")}
    columns["gain"] = 10 * columns["nearest"] + noise * rng.standard_normal(count)
    known = {"class": [f"c{row}" for row in range(count)], "captions": [7] * count, "negatives": list(range(count))}
    empty = {name: [None] * count for name in GAINS if name not in {*columns, *known}}
    return pl.DataFrame({**known, **columns, **empty}, schema_overrides=GAINS)


def test_what_tells_the_gain() -> None:
    told = {each.predictor: each for each in predictors(drawn(30))}
    assert told["nearest"].correlation == pytest.approx(1)
    assert set(told) == {"nearest", "negatives", "p_visible"}  # captions are the same for all
    assert told["nearest"].classes == 30
    assert (explained_variance(drawn(30)) or 0) > 0.9
    assert (explained_variance(drawn(60, noise=100)) or 0) < 0.3
    assert explained_variance(drawn(8)) is None
    assert predictors(drawn(3)) == []


@given(st.integers(14, 40), st.integers(0, 1000))
def test_the_explained_variance_leaves_each_class_out(count: int, seed: int) -> None:
    """By fitting as many models as there are classes."""
    from scipy.stats import rankdata
    from sklearn.linear_model import LinearRegression

    gains = drawn(count, seed, noise=3)
    ranks = np.stack([rankdata(gains[name]) for name in ("nearest", "negatives", "p_visible")], axis=1)
    gain, errors, alone = gains["gain"].to_numpy(), 0.0, 0.0
    for row in range(count):
        others = np.arange(count) != row
        model = LinearRegression().fit(ranks[others], gain[others])
        errors += (gain[row] - model.predict(ranks[[row]])[0]) ** 2
        alone += (gain[row] - gain[others].mean()) ** 2
    assert explained_variance(gains) == pytest.approx(1 - errors / alone, abs=1e-6)


def test_the_page() -> None:
    place = {"segmenter": "maskclip", "backbone": "toy", "dataset": "world"}
    named = [pl.lit(value).alias(name) for name, value in place.items()]
    page = gains_page(table().select(*named, pl.all()))
    assert "## maskclip, toy, world" in page
    assert len(list(losing(table()))) > 0
    for row in losing(table()):
        assert f"| {row['class']} | {row['images']} |" in page
    assert all(f"- *{cause}*:" in page for cause in CAUSES)
    assert "##" not in gains_page(table().clear().select(*named, pl.all())).replace("## Causes", "")


def test_gains_of_a_benchmark(tmp_path: Path) -> None:
    """Of the sets in the columns CC_D and BG, from the pixels that a pass left; none without what is known of classes."""
    after, after_union, before, before_union = numbers()
    images = [f"image {row}" for row in range(6)]
    rows = [
        (name, "IoU-single", images[row], label, int(both[row, label]), int(union[row, label]))
        for name, both, union in (("mined", after, after_union), ("word", before, before_union))
        for row in range(6)
        for label in range(5)
        if union[row, label]
    ]
    own = [("mined", *row) for row in TAKEN]
    others = [("word", "boat", "background", 900, 900), ("mined", "sea", "ignored", 1, 0)]
    counts = PixelCounts(
        pl.DataFrame({"image": images}),
        pl.DataFrame(rows, COUNTS, orient="row"),
        pl.DataFrame([*own, *others], PIXELS_TAKEN, orient="row"),
        pl.DataFrame(schema=CELLS),
    )
    counts.save(tmp_path)
    settings = BenchmarkSettings.model_validate(
        {
            "segmenters": {"m": {"method": "maskclip", "backbones": ["b"]}},
            "backbones": {"b": {"model": "ViT-B-16", "training_data": "none"}},
            "datasets": {"toy": {"kind": "toyworld", "images": 6}},
            "sets": {"word": {"kind": "background"}, "mined": {"kind": "dictionary"}},
            "draws": 200,
        }
    )
    description = DatasetDescription(kind="voc", classes=list(CLASSES), queries=[1, 2, 3, 4], images=images)
    asked: list[object] = []
    folders, described = {("m", "b", "toy"): tmp_path}, {"toy": description}
    found = collect(settings, folders, described, lambda cell: (asked.append(cell.set), facts())[1]).gains
    assert asked == ["mined"]
    assert found.drop("segmenter", "backbone", "dataset").equals(table())
    assert found.select("segmenter", "backbone", "dataset").unique().rows() == [("m", "b", "toy")]
    assert collect(settings, folders, described).gains.is_empty()


def test_facts_from_files(tmp_path: Path) -> None:

    TextRows({"boat": 0, "sea": 1}, np.eye(2, dtype=np.float32)).save(tmp_path / "texts.parquet")
    pl.DataFrame({"query": ["boat"], "concept": ["ship"]}).write_parquet(tmp_path / "queries.parquet")
    pl.DataFrame({"concept": ["ship", "sea"], "count": [5, 6], "p_visible": [0.9, None]}).write_parquet(
        tmp_path / "concepts.parquet"
    )
    asked = from_mapping("ccd", {"boat": ["sea"]})
    read = read_facts(asked, tmp_path / "texts.parquet", tmp_path / "queries.parquet", tmp_path / "concepts.parquet")
    assert (read.captions, read.visible) == ({"boat": 5}, {"boat": 0.9})
    assert read.vectors["sea"].tolist() == [0, 1]
    assert read_facts(asked, tmp_path / "texts.parquet").captions == {}
