"""Pascal Context from the Detail annotations, and the class lists that come with the project."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from contrastive_concepts.cli.main import app
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.datasets import LAYOUTS, open_dataset
from contrastive_concepts.evaluation.pascal_context import DETAIL_IDS, convert_context, decode_mask
from contrastive_concepts.resources import resource
from contrastive_concepts.text_files import read_lines
from tests.conftest import DATA

# What pycocotools 2.0.11 writes for the mask of `pycocotools_mask`.
GOLDEN = {
    "size": [40, 60],
    "counts": "[6a0g0000000000000000000000000000000000000000000000000=C0000[OH:8FH:8;00000000000C=000000000000000]<",
}


def pycocotools_mask() -> np.ndarray[Any, Any]:
    mask = np.zeros((40, 60), bool)
    mask[3:20, 5:50] = mask[10:33, 30:41] = True
    mask[12:14, 33:35] = False
    return mask


def encode_mask(mask: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The format written the other way round, from its description."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat]))).tolist()
    runs = np.diff([0, *edges, len(flat)]).tolist()
    text = ""
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        while True:
            digit, value = value & 31, value >> 5
            more = value != (-1 if digit & 16 else 0)
            text += chr(48 + digit + 32 * more)
            if not more:
                break
    return {"size": list(mask.shape), "counts": text}


def test_masks_of_pycocotools() -> None:
    assert (decode_mask(GOLDEN) == pycocotools_mask()).all()
    assert encode_mask(pycocotools_mask()) == GOLDEN
    with pytest.raises(UserError, match="expected 40x61"):
        decode_mask({**GOLDEN, "size": [40, 61]})


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_any_mask_comes_back(height: int, width: int, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    assert (decode_mask(encode_mask(mask)) == mask).all()


def detail(folder: Path, **changed: Any) -> Path:
    """Two images, one of each split, and one that belongs to neither."""
    lower = np.zeros((4, 6), bool)
    lower[2:] = True
    left = np.zeros((4, 6), bool)
    left[:, :2] = True
    content = {
        "categories": [],
        "images": [
            {"image_id": 2008000001, "file_name": "2008_000001.jpg", "phase": "val", "height": 4, "width": 6},
            {"image_id": 2008000002, "file_name": "2008_000002.jpg", "phase": "train", "height": 4, "width": 6},
            {"image_id": 2008000003, "file_name": "2008_000003.jpg", "phase": "test", "height": 4, "width": 6},
        ],
        "annos_segmentation": [
            {"id": 1, "image_id": 2008000001, "category_id": 2, "segmentation": encode_mask(lower)},
            {"id": 2, "image_id": 2008000002, "category_id": 458, "segmentation": encode_mask(~lower)},
            {"id": 3, "image_id": 2008000001, "category_id": 416, "segmentation": encode_mask(left)},
        ],
    }
    path = folder / "trainval_merged.json"
    path.write_text(json.dumps(content | changed))
    return path


def test_pascal_context_as_a_data_set(tmp_path: Path) -> None:
    root = tmp_path / "VOC2010"
    (root / "JPEGImages").mkdir(parents=True)
    Image.new("RGB", (6, 4)).save(root / "JPEGImages/2008_000001.jpg")
    done = CliRunner().invoke(app, ["data", "context", str(detail(tmp_path)), str(root)])
    assert done.output == "train: 1 label maps, val: 1 label maps\n"
    [sample] = open_dataset("context60", root)
    names = open_dataset("context60", root).classes
    plane, later = names.index("aeroplane"), DETAIL_IDS.index(416)
    assert sample.labels.tolist() == [[later] * 2 + [0] * 4] * 2 + [[later] * 2 + [plane] * 4] * 2
    [without] = open_dataset("context59", root)
    assert without.labels[3].tolist() == [later - 1] * 2 + [plane - 1] * 4
    assert (without.labels[0, 2:] == 255).all()
    [train] = open_dataset("context60", root, split="train").names
    assert train == "2008_000002"


def test_annotations_that_are_none(tmp_path: Path) -> None:
    bad = [
        ({"images": []}, "found nothing under 'images'"),
        ({"images": [{"image_id": 1}]}, "an entry without 'file_name'"),
        (
            {"annos_segmentation": [{"id": 9, "image_id": 2008000001, "category_id": 3, "segmentation": GOLDEN}]},
            "segmentation 9: category 3 is none of the 60",
        ),
        (
            {"annos_segmentation": [{"id": 9, "image_id": 2008000001, "category_id": 2, "segmentation": GOLDEN}]},
            r"image 2008000001: found a mask of \(40, 60\), expected \(4, 6\)",
        ),
    ]
    for changed, message in bad:
        with pytest.raises(UserError, match=message):
            convert_context(detail(tmp_path, **changed), tmp_path)
    path = detail(tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match=r"trainval_merged\.json: cannot be read as JSON"):
        convert_context(path, tmp_path)
    with pytest.raises(UserError, match="not found"):
        convert_context(tmp_path / "absent.json", tmp_path)


@pytest.mark.parametrize("kind", [kind for kind, layout in LAYOUTS.items() if layout.classes is not None])
def test_official_class_lists(kind: str) -> None:
    layout = LAYOUTS[kind]
    names = read_lines(resource(f"classes/{kind}.txt"), "classes")
    assert len(names) == layout.classes == len(set(names))
    assert ("background" in names) == layout.background == (names[0] == "background")
    published = DATA / "official_cc" / f"cls_{kind}.txt"
    if published.is_file():
        assert names == read_lines(published, "classes")


def test_a_class_list_is_asked_for_where_there_is_no_official_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data set voc: class list is missing"):
        open_dataset("voc", tmp_path)
    with pytest.raises(UserError, match=r"val\.txt: not found"):
        open_dataset("voc21", tmp_path)
