"""The explorer's page as a file: what it holds, on which concept it opens, its colours. A browser is not needed."""

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from contrastive_concepts.cli.main import app
from contrastive_concepts.config.selection import TYPES
from contrastive_concepts.dictionary.compare import compare
from contrastive_concepts.dictionary.example import telling_concept
from contrastive_concepts.dictionary.explorer import FOLDER, SCRIPTS, write_explorer
from contrastive_concepts.dictionary.packing import NONE, Tables
from contrastive_concepts.errors import UserError
from contrastive_concepts.resources import resource
from contrastive_concepts.selection.select import REASONS
from tests.helpers import NAMES, release_dictionary


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release_dictionary(tmp_path_factory.mktemp("explorer") / "a")


def unpacked(page: Path) -> tuple[dict[str, Any], list[dict[str, np.ndarray[Any, Any]]]]:
    """The head of a page's data and the columns of each dictionary, read as packing.py describes them."""
    found = re.search(r'type="application/octet-stream">([^<]+)<', page.read_text(encoding="utf-8"))
    assert found
    blob = gzip.decompress(base64.b64decode(found[1]))
    at = 4 + int(np.frombuffer(blob, np.uint32, 1)[0])
    head = json.loads(blob[4:at])

    def column(kind: type, count: int) -> np.ndarray[Any, Any]:
        nonlocal at
        at += 4 * count
        return np.frombuffer(blob, kind, count, at - 4 * count)

    columns = []
    for each in head["dictionaries"]:
        read = {"ids": column(np.int32, len(each["counts"]))}
        for name, count in zip(("kept", "rejected"), each["pairs"], strict=True):
            read[f"{name} offsets"] = column(np.int32, head["concepts"] + 1)
            for key, kind in (("id", np.int32), ("count", np.uint32), ("frequency", np.float32), ("similarity", np.float32)):  # fmt: skip
                read[f"{name} {key}"] = column(kind, count)
        read["reason"] = column(np.int32, each["pairs"][1])
        columns.append(read)
    assert at == len(blob)
    return head, columns


def test_the_page_has_each_pair_with_its_numbers(tmp_path: Path) -> None:
    toy = resource("dictionaries/toyworld")
    write_explorer(toy, tmp_path / "page.html")
    head, [columns] = unpacked(tmp_path / "page.html")
    assert (head["reasons"], head["types"]) == (list(REASONS), TYPES)
    tables = Tables.read(toy)
    assert [head["names"][number] for number in columns["ids"]] == tables.concepts["concept"].to_list()
    for name, expected in (("kept", tables.kept), ("rejected", tables.rejected)):
        left = np.repeat(np.arange(head["concepts"]), np.diff(columns[f"{name} offsets"]))
        found = pl.DataFrame(
            {
                "concept": [head["names"][number] for number in left],
                "contrastive_concept": [head["names"][number] for number in columns[f"{name} id"]],
                "cooccurrences": columns[f"{name} count"].astype(np.int64),
                "frequency": columns[f"{name} frequency"].astype(float),
                "similarity": columns[f"{name} similarity"],
            }
        )
        joined = found.join(expected, on=["concept", "contrastive_concept", "cooccurrences"], how="inner")
        assert joined.height == expected.height > 1000
        for key in ("frequency", "similarity"):
            assert ((joined[key] - joined[f"{key}_right"]).abs() <= 3e-4 * joined[f"{key}_right"].abs()).all()
    reasons = [head["reasons"][number] for number in columns["reason"]]
    assert sorted(reasons) == sorted(tables.rejected["reason"])


def test_a_list_without_numbers(folder: Path, tmp_path: Path) -> None:
    """CC^L has no captions: its counts, frequencies and similarities are null, and no concept has a verdict."""
    written = tmp_path / "written"
    written.mkdir()
    for path in folder.iterdir():
        (written / path.name).write_bytes(path.read_bytes())
    nulls = {"concepts": ("count", "p_visible", "visible"), "contrastive_concepts": ("cooccurrences", "frequency", "similarity")}  # fmt: skip
    for name, keys in nulls.items():
        table = pl.read_parquet(folder / f"{name}.parquet")
        table.with_columns(pl.lit(None).alias(key) for key in keys).write_parquet(written / f"{name}.parquet")
    write_explorer(written, tmp_path / "page.html")
    head, [columns] = unpacked(tmp_path / "page.html")
    assert set(columns["kept count"].tolist()) == {NONE}
    assert np.isnan(columns["kept frequency"]).all()
    assert head["names"][head["example"]] == "boat"  # the longest list


def tables(*rows: tuple[str, int, bool | None, dict[str, float], list[str]]) -> Tables:
    """A dictionary of (concept, count, visible, contrastive concept -> frequency, reasons)."""
    return Tables(
        pl.DataFrame([row[:3] for row in rows], schema={"concept": pl.String, "count": pl.Int64, "visible": pl.Boolean}, orient="row"),
        pl.DataFrame(
            [(row[0], name, frequency) for row in rows for name, frequency in row[3].items()],
            schema={"concept": pl.String, "contrastive_concept": pl.String, "frequency": pl.Float64}, orient="row",
        ),
        pl.DataFrame(
            [(row[0], reason) for row in rows for reason in row[4]],
            schema={"concept": pl.String, "reason": pl.String}, orient="row",
        ),
    )  # fmt: skip


def test_the_example_is_told_by_the_data() -> None:
    full = dict.fromkeys("abcdefghij", 0.1)
    rare = ("rare", 3, True, {**full, "k": 0.9}, ["similar", "part", "stop-list"])
    idea = ("idea", 900, False, full, ["similar", "part", "stop-list"])
    sky = ("sky", 800, True, full, ["similar"])
    boat = ("boat", 700, True, full, ["similar", "not visible"])
    empty = ("empty", 999, True, {}, ["similar", "part", "stop-list"])
    short = ("short", 700, True, {"a": 0.2}, ["similar", "not visible"])
    many = [(f"rare {number}", 3, True, {"a": 0.1}, ["similar"]) for number in range(6)]
    found = tables(rare, idea, sky, short, boat, empty, *many)
    assert telling_concept(found) == "boat"
    assert telling_concept(found, ["sky", "rare"]) == "sky"
    assert telling_concept(tables(("thing", 5, None, {"a": 0.1}, []))) == "thing"
    assert telling_concept(tables(("thing", 5, True, {}, []))) is None


def test_it_opens_on_a_telling_concept_of_a_real_dictionary(tmp_path: Path) -> None:
    toy = resource("dictionaries/toyworld")
    write_explorer(toy, tmp_path / "page.html")
    head, _ = unpacked(tmp_path / "page.html")
    read, name = Tables.read(toy), head["names"][head["example"]]
    row = read.concepts.filter(pl.col("concept") == name).row(0, named=True)
    assert row["visible"] is True
    assert row["count"] > read.concepts["count"].median()
    assert read.kept.filter(pl.col("concept") == name).height >= 10
    assert read.rejected.filter(pl.col("concept") == name)["reason"].n_unique() >= 2


def test_two_dictionaries_on_one_page(folder: Path, tmp_path: Path) -> None:
    other = release_dictionary(
        tmp_path / "b", 0.3, names=["boat", "Käse", "water", "dog"],
        counts=[[9, 4, 5, 0], [4, 9, 0, 0], [5, 0, 9, 1], [0, 0, 1, 9]],
    )  # fmt: skip
    done = CliRunner().invoke(app, ["diff", str(folder), str(other), "--page", str(tmp_path / "new" / "page.html")])
    assert done.exit_code == 0, done.output
    head, columns = unpacked(tmp_path / "new" / "page.html")
    assert [each["label"] for each in head["dictionaries"]] == ["A: release", "B: release"]
    assert head["names"] == [*NAMES, "Käse"]
    assert head["concepts"] == 7
    assert [head["names"][number] for number in columns[1]["ids"]] == ["boat", "Käse", "water", "dog"]
    assert head["summary"] == compare(folder, other).summary
    assert head["names"][head["example"]] == "boat"  # it gains one and loses two
    with pytest.raises(UserError, match="expected the folder of a dictionary"):
        write_explorer(folder, tmp_path / "none.html", tmp_path)
    assert not (tmp_path / "none.html").exists()


def test_the_page_is_one_file_that_runs_nothing_else(folder: Path, tmp_path: Path) -> None:
    write_explorer(folder, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_bytes().decode()
    assert "alert(1)" not in page
    assert not re.findall(r"""(?:src|href)=["']?http|@import|url\(""", page)
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert "unsafe" not in policy
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        [text] = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        expected = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} &#39;sha256-{expected}&#39;".replace("&#39;", "'") in policy
    assert {path.stem for path in FOLDER.glob("*.js")} == set(SCRIPTS)


CSS = (FOLDER / "style.css").read_text(encoding="utf-8")
COLOURS = {
    name: pair for name, *pair in re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\);", CSS)
}  # fmt: skip
TEXT = ["ink", "quiet", "accent", "gained", "lost", "confusable", "part", "abstract", "generic", "other"]
MARKS = ["frequency", "similarity", "mark", "context", "edge", "accent", "stays", "gained", "lost"]


def luminance(colour: str) -> float:
    """WCAG 2.2: relative luminance."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    dark, light = sorted([luminance(a), luminance(b)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_contrasts_are_those_of_wcag_aa(mode: int) -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") < 4.5
    for back in ("page", "panel", "chosen"):
        low = {name: contrast(COLOURS[name][mode], COLOURS[back][mode]) for name in TEXT}
        assert min(low.values()) >= 4.5, (back, low)
    for back in ("page", "panel"):
        low = {name: contrast(COLOURS[name][mode], COLOURS[back][mode]) for name in MARKS}
        assert min(low.values()) >= 3, (back, low)
