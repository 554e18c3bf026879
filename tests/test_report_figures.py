"""The figures, by their pixels and their text."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_concepts.errors import UserError
from contrastive_concepts.report.frequencies import draw_frequencies, most_frequent
from contrastive_concepts.report.listing import latex, markdown
from contrastive_concepts.report.panels import (
    QUERY,
    TITLE,
    draw_rows,
    image_panel,
    label_colour,
    map_panel,
    query_panel,
)
from tests.conftest import DATA, ROOT

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def test_the_query_is_tinted_and_nothing_else_is() -> None:
    found = np.zeros((40, 60), bool)
    found[:, :20] = True
    panel = query_panel("BG", IMAGE, found, "boat")
    grey = IMAGE.mean(axis=2)
    assert np.abs(panel.pixels[:, 20:].astype(float) - grey[:, 20:, None]).max() <= 0.5
    tint = 0.4 * grey[:, :20, None] + 0.6 * np.array(QUERY)
    assert np.abs(panel.pixels[:, :20] - tint).max() <= 0.5
    assert panel.legend == (("boat", QUERY),)
    with pytest.raises(UserError, match=r"found labels of \(40, 59\)"):
        query_panel("BG", IMAGE, found[:, 1:])


def test_a_full_map_has_a_colour_a_label_and_lists_the_largest() -> None:
    labels = np.full((40, 60), 255, np.uint8)
    labels[:30, :30], labels[:30, 30:], labels[30:, :5] = 2, 0, 1
    panel = map_panel("all", IMAGE, labels, ["boat", "water", "sky", "sand"], most=2)
    assert (panel.pixels[0, 0] == label_colour(2)).all()
    assert (panel.pixels[0, 59] == QUERY).all()
    assert (panel.pixels[39, 59] == 0).all()
    assert panel.legend == (("boat", QUERY), ("sky", label_colour(2)))
    assert len({label_colour(label) for label in range(200)}) == 200
    with pytest.raises(UserError, match=r"found label 2, expected 0\.\.1 or 255"):
        map_panel("all", IMAGE, labels, ["boat", "water"])


def test_the_sheet_holds_every_panel_at_its_place(tmp_path: Path) -> None:
    plain = np.full((40, 60, 3), (10, 200, 30), np.uint8)
    labels = np.zeros((40, 60), np.uint8)
    row = [image_panel("an image", plain), map_panel("all", plain, labels, ["a very long name of a concept"])]
    draw_rows([row, [image_panel("another", IMAGE)]], tmp_path / "figure.png", height=80)
    sheet = np.asarray(Image.open(tmp_path / "figure.png"))
    green = (sheet == (10, 200, 30)).all(axis=2)
    red = (sheet == QUERY).all(axis=2)
    assert green.sum() == 80 * 120
    assert green[TITLE : TITLE + 80].sum() == 80 * 120
    assert 80 * 120 < red.sum() < 80 * 120 + 400  # the map and its swatch
    dark = (sheet[:TITLE] < 100).all(axis=2)
    assert dark.sum() > 50  # titles
    assert (sheet[:, -1] == 255).all()  # the long name ends inside
    with pytest.raises(UserError, match="found 0 panels"):
        draw_rows([[]], tmp_path / "empty.png")


def test_the_frequencies_are_those_of_the_classes_and_background(tmp_path: Path) -> None:
    counts = {"boat": 30, "dog": 90, "person": 30, "background": 60, "$5 _x_": 10, "water": 500}
    shown = draw_frequencies(counts, ["boat", "dog", "person", "boat", "tv monitor", "$5 _x_"], tmp_path / "2a.png")
    assert shown == [("dog", 90), ("background", 60), ("boat", 30), ("person", 30), ("$5 _x_", 10)]
    picture = np.asarray(Image.open(tmp_path / "2a.png").convert("RGB")).astype(int)
    heights = {}
    for name, colour in (("background", (220, 20, 60)), ("others", (153, 153, 153))):
        mask = abs(picture - colour).sum(axis=2) < 8
        heights[name] = mask.sum(axis=0)
    bars = [
        run for run in np.split(heights["others"], np.flatnonzero(heights["others"] == 0)) if run.max(initial=0) > 4
    ]
    tallest = [run.max() for run in bars]
    assert len(bars) == 4
    assert heights["background"].max() / tallest[0] == pytest.approx(60 / 90, abs=0.02)
    assert tallest[1] / tallest[0] == pytest.approx(30 / 90, abs=0.02)
    assert draw_frequencies({"boat": 1}, ["dog"], tmp_path / "none.png") == []
    assert Image.open(tmp_path / "none.png").width > 100


def test_only_the_most_frequent_classes_are_drawn() -> None:
    counts = {f"c{k}": k for k in range(100)} | {"background": 0}
    assert most_frequent({"c1": 1}, ["c1", "c2"]) == [("c1", 1)]
    assert most_frequent(counts, counts, most=3) == [("c99", 99), ("c98", 98), ("c97", 97), ("background", 0)]


def test_background_is_more_frequent_than_any_class_of_voc_in_laion(lists_dir: Path) -> None:
    """Paper 3.3, with the counts that its authors used."""
    counts = json.loads((lists_dir / "laion400m_concept_counts.json").read_text())
    classes = (ROOT / "resources" / "classes" / "voc20.txt").read_text().splitlines()
    shown = most_frequent(counts, classes)
    assert shown[0] == ("background", 3_245_517)
    assert dict(shown)["dog"] == 868_615


def test_table_8() -> None:
    concepts = {"traffic light": ["road", "car"], "R&D_50%": ["a|b", "{x}"]}
    assert "| traffic light | road, car |\n" in markdown(concepts, "Table 8")
    assert "a\\|b" in markdown(concepts, "Table 8")
    text = latex(concepts, "CC^L")
    assert "traffic light & road, car \\\\\n" in text
    assert r"R\&D\_50\% & a|b, \{x\} \\" in text
    assert r"\caption{CC\textasciicircum{}L}" in text


@pytest.mark.skipif(not (DATA / "official_cc").is_dir(), reason="../shared/data/official_cc is not on this machine")
def test_table_8_of_the_authors_lists() -> None:
    names = (DATA / "official_cc" / "cls_cityscapes.txt").read_text().splitlines()
    lines = (DATA / "official_cc" / "CC_LLM_cityscapes.txt").read_text().splitlines()
    concepts = {name: line.split(", ") for name, line in zip(names, lines, strict=True)}
    rows = markdown(concepts, "Table 8").splitlines()[4:]
    assert len(rows) == 19
    assert all(row.startswith(f"| {name} | background, ") for row, name in zip(rows, names, strict=True))


def test_drawing_needs_no_torch() -> None:
    code = "import sys; from contrastive_concepts.report import frequencies, listing, panels; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
