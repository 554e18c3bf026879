"""The paper's tables: its values at their place, the layout, the four formats."""

import csv
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.results import SCORES
from contrastive_concepts.report.published import Published, PublishedValue
from contrastive_concepts.report.summary import latex, long_form, markdown, summary, write_table
from contrastive_concepts.report.tables import Table, build_tables

from .conftest import ROOT

FILE = ROOT / "resources" / "paper_tables.json"
NO_SWEEPS = pl.DataFrame(schema={"threshold": pl.String, "step": pl.Float64, **SCORES})


def score(dataset: str, column: str, value: float, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "segmenter": "s", "backbone": "b", "dataset": dataset, "set": column, "method": "maskclip",
        "training_data": "WIT400M", "kind": dataset, "column": column, "original": False, "metric": "IoU-single",
        "value": value, "low": value - 1, "high": value + 1, "pair_mean": value, "image_mean": value,
        "grid_bound": 80.0, "images": 10,
    }  # fmt: skip
    return {**row, **more}


def tables(rows: list[dict[str, Any]], sweeps: pl.DataFrame = NO_SWEEPS) -> dict[str, Table]:
    return {made.number: made for made in build_tables(pl.DataFrame(rows, SCORES), sweeps, Published(FILE))}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("1", "VOC21", "MaskCLIP", "WIT400M", "CC_D"), PublishedValue(53.4)),
        (("1", "ADE20k", "GEM", "MetaCLIP", "BG"), PublishedValue(23.4, True)),
        (("1", "VOC21", "MaskCLIP", "WIT400M", "oracle"), None),
        (("2a", "ADE20k", "CLIP-DINOiser", "Laion2B", "no filtering"), PublishedValue(23.9)),
        (("2a", "ADE20k", "MaskCLIP", "Laion2B", "no filtering"), None),
        (("2b", "Cityscapes", "TCL", "WIT400M", "CC_L only"), PublishedValue(26.0)),
        (("2c", "VOC21", "MaskCLIP", "MetaCLIP", "CC_D"), PublishedValue(50.0)),
        (("4", "gamma", "MaskCLIP", "Laion2B", "0.005"), PublishedValue(27.8)),
        (("4", "delta", "CLIP-DINOiser", "Laion2B", "0.8"), PublishedValue(27.9)),
        (("5", "beta", "TCL", "WIT400M", "1"), PublishedValue(37.2)),
        (("6", "VOC21", "MaskCLIP", "WIT400M", "BG"), None),
        (("7", "VOC21", "CLIP-DINOiser", "Laion2B", "original"), PublishedValue(63.8, True)),
        (("7", "Pascal Context", "GEM", "MetaCLIP", "CC_D"), PublishedValue(42.0)),
    ],
)
def test_published_values_are_at_their_place(
    place: tuple[str, str, str, str, str], value: PublishedValue | None
) -> None:
    assert Published(FILE).value(*place) == value


def test_a_file_that_is_not_the_papers_tables(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UserError, match="not the paper's tables"):
        Published(tmp_path / "x.json")


def test_layout_of_the_tables() -> None:
    rows = [
        score("ade20k", "CC_D", 26.2),
        score("ade20k", "no filtering", 21.0),
        score("voc21", "CC_D", 50.0),
        score("voc21", "CC_D", 53.0, original=True, set="own"),
        score("toyworld", "CC_D", 30.0),
        score("toyworld", "none", 20.0),
        score("voc21", "CC_D", 33.0, metric="mIoU"),
    ]
    made = tables(rows)
    assert set(made) == {"1", "2a", "2b", "2c", "3", "6", "7"}
    first = made["1"]
    assert first.columns[:3] == (("VOC21", "BG"), ("VOC21", "CC_L"), ("VOC21", "CC_D"))
    assert first.columns[-3:] == (("toyworld", "none"), ("toyworld", "CC_D"), ("toyworld", "grid bound"))
    cells = dict(zip(first.columns, first.rows[0][1], strict=True))
    best = cells["VOC21", "CC_D"]
    assert (best.value, best.original, best.published) == (53.0, True, PublishedValue(53.4))
    assert best.difference == pytest.approx(-0.4)
    assert cells["VOC21", "BG"].value is None
    assert cells["VOC21", "BG"].difference is None
    assert cells["toyworld", "CC_D"].published is None
    assert cells["toyworld", "grid bound"].value == 80.0
    steps = {labels[0]: cells for labels, cells in made["2a"].rows}
    assert set(steps) == {"no filtering", "+ semantic similarity"}
    assert steps["no filtering"][0].difference == pytest.approx(1.0)
    assert made["3"].rows[0][1][0].value == 33.0
    assert made["6"].columns == (("VOC21", "CC_D"),)


def test_what_shares_a_name_keeps_a_place_of_its_own() -> None:
    rows = [
        score("voc_a", "CC_D", 50.0, kind="voc21"),
        score("voc_b", "CC_D", 60.0, kind="voc21"),
        score("voc_a", "CC_D", 55.0, kind="voc21", segmenter="other"),
    ]
    table = tables(rows)["1"]
    assert [labels[0] for labels, _ in table.rows] == ["MaskCLIP (s)", "MaskCLIP (other)"]
    cells = {
        (labels[0], place): cell for labels, row in table.rows for place, cell in zip(table.columns, row, strict=True)
    }
    assert cells["MaskCLIP (s)", ("voc_a", "CC_D")].value == 50.0
    assert cells["MaskCLIP (s)", ("voc_b", "CC_D")].value == 60.0
    assert cells["MaskCLIP (other)", ("voc_a", "CC_D")].value == 55.0
    assert cells["MaskCLIP (s)", ("voc_a", "CC_D")].published is None


def test_sweeps_stand_beside_the_papers() -> None:
    def point(threshold: str, step: float, value: float, metric: str) -> dict[str, Any]:
        return {"threshold": threshold, "step": step, **score("ade100", "CC_D", value, kind="ade20k", metric=metric)}

    sweeps = pl.DataFrame(
        [
            point("gamma", 0.01, 25.0, "IoU-single"),
            point("gamma", 0.02, 23.0, "IoU-single"),
            point("delta", 0.8, 24.0, "IoU-single"),
            point("beta", 0.9, 41.0, "mIoU"),
        ],
        NO_SWEEPS.schema,
    )
    made = tables([score("ade20k", "CC_D", 26.2)], sweeps)
    assert made["4"].columns == (("gamma", "0.01"), ("gamma", "0.02"), ("delta", "0.8"))
    assert [cell.difference for cell in made["4"].rows[0][1]] == pytest.approx([0.2, -0.2, -0.4])
    assert made["5"].rows[0][0] == ("MaskCLIP", "WIT400M", "ade100")
    assert made["5"].rows[0][1][0].difference == pytest.approx(-0.1)


def test_a_sweep_over_a_boost_has_a_table_and_segmenters_of_one_method_their_names() -> None:
    points = [
        {"threshold": "boost", "step": -0.1, **score("tuning", "BG + boost", 25.0, segmenter=name, method=method)}
        for name, method in (("a", "naclip"), ("b", "naclip"), ("c", "gem"))
    ]
    made = tables([score("ade20k", "CC_D", 26.2)], pl.DataFrame(points, NO_SWEEPS.schema))
    assert made["boost"].columns == (("boost", "-0.1"),)
    assert [labels[0] for labels, _ in made["boost"].rows] == ["NACLIP (a)", "NACLIP (b)", "GEM"]
    assert "4" not in made


def test_the_four_formats_say_the_same(tmp_path: Path) -> None:
    table = tables([score("voc21", "CC_D", 53.0, original=True), score("voc_x|", "CC_D", 1.0)])["1"]
    write_table(table, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".parquet", ".csv", ".md", ".tex"}
    frame = pl.read_parquet(tmp_path / "table_1.parquet")
    assert frame.equals(long_form(table))
    with (tmp_path / "table_1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows if row["group"] == "VOC21" and row["column"] == "CC_D"] == ["53.00"]
    assert [row["difference"] for row in rows if row["group"] == "VOC21"] == ["", "", "-0.40"]
    text = markdown(table)
    assert "53.0\\* [52.0, 54.0] (paper 53.4, -0.4)" in text
    assert "(paper 44.2)" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    tex = latex(table)
    assert r"\multicolumn{3}{c}{VOC21} & \multicolumn{2}{c}{voc\_x|} \\" in tex
    body = [line for line in tex.splitlines() if line.endswith(r"\\")]
    assert [line.count("&") for line in body] == [3, 6, 6]
    assert r"\begin{tabular}{llccccc}" in tex


def test_the_summary_names_what_took_the_pixels() -> None:
    made = list(tables([score("toyworld", "CC_D", 30.0)]).values())
    place = {"segmenter": "s", "backbone": "b", "dataset": "toyworld"}
    differences = pl.DataFrame(
        [{**place, "metric": "IoU-single", "first": "CC_D", "second": "BG", "original": False, "value": 5.04,
          "low": 4.0, "high": 6.0}]
    )  # fmt: skip
    classes = pl.DataFrame(
        [{**place, "set": name, "metric": "IoU-single", "class": "boat", "iou": iou, "images": 3, "pixels": 9}
         for name, iou in (("bg", 20.0), ("ccd", 30.0))]
    )  # fmt: skip
    taken = pl.DataFrame(
        [{**place, "set": "ccd", "query": "boat", "concept": text, "pixels": n, "share": n / 4}
         for text, n in (("water", 3), ("sky", 1))]
    )  # fmt: skip
    scores = pl.DataFrame([score("toyworld", "CC_D", 30.0, set="ccd")], SCORES)
    text = summary(made, scores, differences, classes, taken)
    assert "| IoU-single | s | b | toyworld | CC_D - BG | +5.0 [+4.0, +6.0] |" in text
    assert "| boat | 3 | 20.0 | 30.0 | water 75 %, sky 25 % |" in text


def test_names_of_a_configuration_are_no_markup() -> None:
    hostile = "<b>x</b> [a](http://b) ![i](j) `c` _d_ *e*\n| f"
    text = markdown(tables([score("voc21", "CC_D", 53.0, training_data=hostile)])["1"])
    [line] = [line for line in text.splitlines() if "53.0" in line]
    assert r"\<b\>x\</b\> [a\](http://b) ![i\](j) \`c\` \_d\_ \*e\* \| f" in line
