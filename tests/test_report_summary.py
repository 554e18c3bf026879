"""The report's figures and tables of the dictionary and the sets, by their numbers."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from contrastive_concepts.config.selection import SelectionSettings
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet
from contrastive_concepts.report.funnel import draw_funnel, funnel
from contrastive_concepts.report.lengths import draw_lengths, list_lengths
from contrastive_concepts.report.set_sizes import mean_size, set_sizes, sets_page
from contrastive_concepts.report.thresholds import GRID, draw_thresholds, mean_lengths
from contrastive_concepts.selection.select import Thresholds
from tests.synthetic_tables import lists, tables

COUNTS = {
    "candidates": 100,
    "rejected: stop-list": 10,
    "rejected: not visible": 20,
    "rejected: similar": 5,
    "rejected: part": 0,
    "contrastive concepts": 65,
}


def drawn(path: Path) -> bool:
    return np.asarray(Image.open(path)).std() > 0


def test_each_filter_takes_from_what_the_one_before_left(tmp_path: Path) -> None:
    steps = funnel(COUNTS)
    assert steps == [
        ("candidates over gamma", 100),
        ("without: stop-list", 90),
        ("without: not visible", 70),
        ("without: similar", 65),
        ("contrastive concepts", 65),
    ]
    more = funnel(COUNTS | {"rejected: redundant": 30, "contrastive concepts": 35})
    assert more[-2:] == [("without: redundant", 35), ("contrastive concepts", 35)]
    draw_funnel(steps, tmp_path / "funnel.png")
    assert drawn(tmp_path / "funnel.png")


def test_concepts_without_any_count_as_none(tmp_path: Path) -> None:
    concepts = pl.DataFrame({"concept": ["boat", "sky", "dog"]})
    kept = pl.DataFrame({"concept": ["dog", "boat", "dog"]})
    assert list_lengths(concepts, kept) == [1, 0, 2]
    for number, lengths in enumerate(([1, 0, 2], [0], [300, 1])):
        draw_lengths(lengths, tmp_path / f"{number}.png")
        assert drawn(tmp_path / f"{number}.png")


@pytest.mark.parametrize("seed", range(2))
def test_thresholds_shorten_the_lists_as_the_selection_does(seed: int, tmp_path: Path) -> None:
    source = tables(seed)
    table = mean_lengths(source, Thresholds.of(SelectionSettings(), "corpus", "drop"))
    named = source.concepts.filter(pl.col("count") > 0)["concept"].to_list()
    for name, value, mean in table.iter_rows():
        selected = lists(source, SelectionSettings(), **{name: value})
        assert mean == pytest.approx(np.mean([len(selected[concept]) for concept in named]))
    for name, falling in (("gamma", True), ("delta", False)):
        means = table.filter(pl.col("threshold") == name).sort("value")["mean_cc"]
        assert len(means) >= len(GRID[name])
        assert means.is_sorted(descending=falling)
    chosen = {"gamma": 0.01, "delta": 0.8, "beta": 0.9}
    place = {"segmenter": "mask", "backbone": "toy", "dataset": "toy", "set": "ccd", "metric": "mIoU"}
    sweeps = pl.DataFrame([{"threshold": "beta", "step": step, "value": 30.0, **place} for step in (0.5, 1.0)])
    sizes = []
    for shown in (sweeps.clear(), sweeps):
        draw_thresholds(table, shown, chosen, tmp_path / "thresholds.png")
        sizes.append(Image.open(tmp_path / "thresholds.png").size)
    assert sizes[1][0] > sizes[0][0]
    assert sizes[1][1] > sizes[0][1]


def test_sets_stand_with_their_mean_length_and_scores() -> None:
    mined = ContrastiveSet("ccd", {"boat": ["water", "sky"], "dog": ["grass"]}, background=True)
    assert mean_size(mined, ["boat", "dog"]) == 2.5
    assert mean_size(ContrastiveSet("present", {"boat": ["dog"]}, present_only=True), ["boat"]) is None
    place = {"segmenter": "mask", "backbone": "toy", "dataset": "toy"}
    scores = pl.DataFrame(
        [
            {**place, "set": "ccd", "metric": "IoU-single", "value": 40.0, "low": 39.0, "high": 41.0},
            {**place, "set": "ccd", "metric": "mIoU", "value": 30.0, "low": 29.0, "high": 31.0},
            {**place, "set": "present", "metric": "IoU-single", "value": 50.0, "low": 49.0, "high": 51.0},
        ]
    )
    table = set_sizes(scores, {("toy", "ccd"): 2.5, ("toy", "present"): None})
    columns = ("set", "mean |CC|", "IoU-single", "low", "high", "mIoU")
    assert table.select(columns).rows() == [
        ("ccd", 2.5, 40.0, 39.0, 41.0, 30.0),
        ("present", None, 50.0, 49.0, 51.0, None),
    ]
    differences = pl.DataFrame(
        [
            {
                **place,
                "metric": metric,
                "first": first,
                "second": second,
                "original": False,
                "value": 8.0,
                "low": 7.0,
                "high": 9.5,
            }
            for metric, first, second in (("IoU-single", "CC_D", "image oracle"), ("mIoU", "CC_D", "CC_D"))
        ]
    )
    absent = pl.DataFrame(
        [
            {**place, "set": "ccd", "absent": kind, "metric": metric, "value": value}
            for kind, metric, value in (
                ("random", "claimed", 1.25),
                ("random", "presence", 88.0),
                ("similar", "claimed", 9.0),
            )
        ]
    )
    page = sets_page(table, differences, {"ccd": "CC_D", "present": "image oracle"}, absent)
    assert "| ccd | 2.5 | 40.0 [39.0, 41.0] | - | 30.0 | 1.2 | 9.0 | 88.0 | - |" in page
    assert "| present | - | 50.0 [49.0, 51.0] | -8.0 [-9.5, -7.0] | - | - | - | - | - |" in page
    assert (
        "claimed"
        not in sets_page(table, differences.clear(), {"ccd": "CC_D", "present": "x"}, absent.clear()).split("###")[1]
    )
