"""Queries and negatives as the class lists of COCO and YOLO, and predictions without the negatives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from typer.testing import CliRunner

from contrastive_concepts.adapters import Prompts, coco, yolo
from contrastive_concepts.cli.main import app
from contrastive_concepts.errors import UserError
from tests.helpers import release_dictionary
from tests.test_adapters import BESIDE, BOX, COUNTS, INSIDE, NAMES, PROMPTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release_dictionary(tmp_path_factory.mktemp("class_lists") / "a", names=NAMES, counts=COUNTS)


def result(image: int, category: int, score: float, box: list[float]) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    return {"image_id": image, "category_id": category, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}


def test_coco_categories(tmp_path: Path) -> None:
    coco.write_categories(PROMPTS, tmp_path / "new" / "a.json")
    read = COCO(tmp_path / "new" / "a.json")
    assert [read.loadCats(number)[0]["name"] for number in read.getCatIds()] == ["boat", "dog", "water", "sky"]
    assert read.getCatIds(supNms=["query"]) == [1, 2]
    assert coco.read_categories(tmp_path / "new" / "a.json") == PROMPTS
    with pytest.raises(UserError, match="exists, expected a new file"):
        coco.write_categories(PROMPTS, tmp_path / "new" / "a.json")


def test_coco_results_without_the_negatives(tmp_path: Path) -> None:
    results = [
        result(7, 1, 0.5, BOX),
        result(7, 3, 0.6, INSIDE),
        result(8, 1, 0.5, BOX),
        result(7, 2, 0.7, BOX),
        result(8, 4, 0.9, BESIDE),
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert coco.keep_queries_of_file(tmp_path / "results.json", tmp_path / "kept.json", PROMPTS) == 2
    assert json.loads((tmp_path / "kept.json").read_text()) == [results[2], results[3]]
    # As pycocotools reads them, in a file whose categories are the queries alone.
    images = {"images": [{"id": 7}, {"id": 8}], "annotations": [], "categories": coco.categories(PROMPTS)[:2]}
    (tmp_path / "images.json").write_text(json.dumps(images))
    loaded = COCO(tmp_path / "images.json").loadRes(str(tmp_path / "kept.json"))
    assert sorted(loaded.loadAnns(loaded.getAnnIds())[0]["bbox"]) == [0, 0, 10, 10]


def test_coco_masks_are_compared_as_masks() -> None:
    """Two masks in one box: as boxes they are the same, as masks they are apart."""
    left = np.zeros((10, 10), np.uint8, order="F")
    left[0, 0] = left[:, 4] = left[9, 9] = 1
    right = np.zeros((10, 10), np.uint8, order="F")
    right[0, 0] = right[:, 6] = right[9, 9] = 1
    rows = []
    for category, score, mask in ((1, 0.5, left), (3, 0.6, right)):
        encoded = coco_masks.encode(mask)
        rle = {"size": encoded["size"], "counts": encoded["counts"].decode()}
        rows.append({**result(1, category, score, BOX), "segmentation": rle})
    assert coco.keep_queries(rows, PROMPTS) == rows[:1]
    assert coco.keep_queries([{**row, "segmentation": []} for row in rows], PROMPTS) == []
    assert coco.keep_queries([rows[0], {**rows[0], "category_id": 3, "score": 0.6}], PROMPTS) == []
    without_box = [{key: value for key, value in rows[0].items() if key != "bbox"}, {**rows[1], "segmentation": None}]
    with pytest.raises(UserError, match="result 0: found no bbox, expected one, as not all results"):
        coco.keep_queries(without_box, PROMPTS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([5], "result 0: all of it: Input should be a valid dictionary"),
        ([{"image_id": 1, "category_id": 1, "score": 0.1, "bbox": [1, 2, 3]}], r"result 0: bbox\.3: Field required"),
        ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}], "result 0: score: Field required"),
        ([{"image_id": 1, "category_id": 1, "score": 1}], "result 0: found no bbox and no compressed RLE"),
        (
            [{"image_id": 1, "category_id": 5, "score": 1, "bbox": [1, 2, 3, 4]}],
            "result 0: found category_id 5, expected 1 to 4",
        ),
        ({}, "found no list, expected COCO results"),
    ],
)
def test_results_that_are_none(content: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"a\.json: {message}"):
        coco.keep_queries_of_file(tmp_path / "a.json", tmp_path / "b.json", PROMPTS)
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "categories: found none, expected a list"),
        ([{"id": 1, "name": "boat", "supercategory": "vehicle"}], "categories: row 1: .*expected the id 1"),
        ([{"id": 2, "name": "boat", "supercategory": "query"}], "categories: row 1: .*expected the id 1"),
        ([{"id": 1, "name": "boat", "supercategory": "negative"}], "queries: found none"),
        (["boat"], "categories: row 1"),
    ],
)
def test_categories_of_another_kind(rows: list[Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"categories": rows}))
    with pytest.raises(UserError, match=message):
        coco.read_categories(tmp_path / "a.json")


def test_yolo_names(tmp_path: Path) -> None:
    prompts = Prompts(("boat", "no"), ("café", "1", "a: b"))
    yolo.write_names(prompts, tmp_path / "data.yaml")
    content = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert content == {"queries": 2, "names": {0: "boat", 1: "no", 2: "café", 3: "1", 4: "a: b"}}
    assert yolo.read_names(tmp_path / "data.yaml") == prompts
    (tmp_path / "list.yaml").write_text("path: here\nqueries: 1\nnames: [boat, water]\n")
    assert yolo.read_names(tmp_path / "list.yaml") == Prompts(("boat",), ("water",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("names: [boat]", "queries: found None, expected how many of the 1 names are queries"),
        ("queries: 1", "names: found no texts numbered from 0"),
        ("queries: 1\nnames: {1: boat}", "names: found no texts numbered from 0"),
        ("queries: 3\nnames: [boat]", "queries: found 3, expected how many of the 1 names"),
        ("queries: yes\nnames: [boat]", "queries: found True"),
        ("names: [", "not valid YAML"),
        ("boat", "names: found no texts"),
        ("queries: 1\nnames: [7]", "query: found 7, expected a text"),
    ],
)
def test_names_of_another_kind(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(content)
    with pytest.raises(UserError, match=message):
        yolo.read_names(tmp_path / "data.yaml")


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        # Boxes: class, centre and size; with a confidence.
        (["0 .5 .5 .2 .2 .4", "2 .5 .5 .2 .2 .6", "1 .5 .5 .2 .2 .7"], [2]),
        (["0 .5 .5 .2 .2 .4", "3 .8 .8 .2 .2 .6"], [0]),
        # Without: the negatives' lines go.
        (["0 .5 .5 .2 .2", "2 .5 .5 .2 .2"], [0]),
        # Polygons, by the boxes around them.
        (["0 .4 .4 .6 .4 .6 .6 .4 .6 .5", "2 .4 .4 .6 .4 .5 .6 .6", "1 .1 .1 .2 .1 .2 .2 .1"], [2]),
        (["0 .4 .4 .6 .4 .6 .6 .4 .6", "2 .5 .5 .2 .2"], [0]),
        ([], []),
    ],
)
def test_yolo_lines_without_the_negatives(lines: list[str], kept: list[int]) -> None:
    assert yolo.keep_queries(lines, PROMPTS) == [lines[row] for row in kept]


def test_yolo_folder_without_the_negatives(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("2 .5 .5 .2 .2 .6\r\n0 .1 .1 .2 .2 .3\r\n")
    (tmp_path / "labels" / "b.txt").write_text("3 .5 .5 .2 .2 .6\n")
    assert yolo.keep_queries_of_folder(tmp_path / "labels", tmp_path / "new" / "kept", PROMPTS) == 1
    read = {file.name: file.read_text() for file in (tmp_path / "new" / "kept").iterdir()}
    assert read == {"a.txt": "0 .1 .1 .2 .2 .3\n", "b.txt": ""}
    with pytest.raises(UserError, match="exists, expected a new folder"):
        yolo.keep_queries_of_folder(tmp_path / "labels", tmp_path / "new" / "kept", PROMPTS)
    with pytest.raises(UserError, match="found no label file"):
        yolo.keep_queries_of_folder(tmp_path / "new", tmp_path / "other", PROMPTS)


@pytest.mark.parametrize(
    "line", ["boat .5 .5 .2 .2", "0 .5 .5 .2", "0.5 .5 .5 .2 .2", "0 .5 .5 .2 nan", "9 .5 .5 .2 .2"]
)
def test_yolo_lines_of_another_kind(line: str, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text(f"0 .5 .5 .2 .2\n{line}\n")
    with pytest.raises(UserError, match=r"a\.txt: (line 2|detection 1): found"):
        yolo.keep_queries_of_folder(tmp_path / "labels", tmp_path / "kept", PROMPTS)
    assert not (tmp_path / "kept").exists()


def test_yolo_lines_of_two_kinds() -> None:
    with pytest.raises(UserError, match="lines: found some with and some without a confidence, expected one kind"):
        yolo.keep_queries(["0 .5 .5 .2 .2 .4", "2 .5 .5 .2 .2"], PROMPTS)


def test_class_lists_in_one_command(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("boat\ndog\n")
    common = ["export", str(folder), "--prompts", str(tmp_path / "classes.txt")]
    expected = Prompts(("boat", "dog"), ("water", "café"))
    for form, read, name in (("coco", coco.read_categories, "a.json"), ("yolo", yolo.read_names, "data.yaml")):
        target = tmp_path / form / name
        done = CliRunner().invoke(app, [*common, "--format", form, "--at-most", "2", "-o", str(target)])
        assert (done.exit_code, done.output) == (0, f"{target}\n")
        assert read(target) == expected
    (tmp_path / "classes.txt").write_text("boat\n")
    done = CliRunner().invoke(app, [*common, "--format", "coco", "--background", "-o", str(tmp_path / "b.json")])
    assert done.exit_code == 0, done.output
    assert coco.read_categories(tmp_path / "b.json").texts == ("boat", "background", "water", "sky", "café")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "coco"], "--prompts: missing, expected your class-name file for --format coco"),
        (["--format", "yolo", "--types"], "--types: found the format 'yolo', expected json, csv or parquet"),
        (["--format", "csv", "--at-most", "3"], "--at-most: found the format 'csv', expected one of coco, yolo"),
    ],
)
def test_options_that_a_class_list_does_not_have(
    folder: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    done = CliRunner().invoke(app, ["export", str(folder), "-o", str(tmp_path / "a"), *options])
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == message
