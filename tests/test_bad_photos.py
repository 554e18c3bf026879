"""Photos gone wrong, from the file to the score: one clear line, or the right answer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.contrastive_sets import background_only
from contrastive_concepts.evaluation.datasets import open_dataset
from contrastive_concepts.evaluation.scoring import evaluate_single
from contrastive_concepts.evaluation.single import SingleScores
from contrastive_concepts.segmenters import build
from tests.drawn_photos import drawn_dataset
from tests.helpers import vectors
from tests.synthetic_clip import clip_model

NAMES = ("2007_000001", "2007_000002")


@pytest.fixture(scope="module")
def segmenter() -> Any:
    return build("maskclip", clip_model(layers=2, patch=8, size=64))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    assert tuple(drawn_dataset(tmp_path, "voc")) == NAMES
    return tmp_path


def scored(segmenter: Any, root: Path) -> SingleScores:
    data = open_dataset("voc21", root)
    protocol = Protocol(short_side=64, window=64, stride=32)
    [scores] = evaluate_single(segmenter, data, data.classes, data.queries, [background_only()], vectors, protocol)
    return scores


def corrupt_jpeg(image: Path, mask: Path, other: Path) -> None:
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])


def mask_of_another_size(image: Path, mask: Path, other: Path) -> None:
    Image.open(mask).resize((31, 17), Image.Resampling.NEAREST).save(mask)


def label_outside(image: Path, mask: Path, other: Path) -> None:
    labels = np.asarray(Image.open(mask)).copy()
    labels[0, 0] = 21
    Image.fromarray(labels).save(mask)


def empty_list(image: Path, mask: Path, other: Path) -> None:
    (image.parents[1] / "ImageSets/Segmentation/val.txt").write_text("")


def missing_mask(image: Path, mask: Path, other: Path) -> None:
    mask.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (corrupt_jpeg, r"2007_000002\.jpg: cannot be decoded"),
        (mask_of_another_size, r"2007_000002\.png: found 17x31, expected its image's \d+x\d+"),
        (label_outside, r"2007_000002\.png: found class number 21, expected 0\.\.20 or 255"),
        (empty_list, r"val\.txt: found an empty list"),
        (missing_mask, r"2007_000002\.png: not found, expected the labels of '2007_000002'"),
    ],
)
def test_what_is_wrong_is_named(damage: Any, message: str, root: Path, segmenter: Any) -> None:
    image, mask = root / "JPEGImages/2007_000002.jpg", root / "SegmentationClass/2007_000002.png"
    damage(image, mask, root)
    with pytest.raises(UserError, match=message) as caught:
        scored(segmenter, root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_grey_and_transparent_photos_are_scored_as_their_colours(mode: str, root: Path, segmenter: Any) -> None:
    path = root / "JPEGImages/2007_000001.jpg"
    changed = Image.open(path).convert(mode)
    changed.save(path, format="PNG")
    found = scored(segmenter, root)
    changed.convert("RGB").save(path, format="PNG")
    assert (found.intersection == scored(segmenter, root).intersection).all()
    assert found.union.sum() > 0


def test_a_photo_one_pixel_wide_is_scored(root: Path, segmenter: Any) -> None:
    for folder, suffix in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
        path = root / folder / f"{NAMES[0]}.{suffix}"
        picture = Image.open(path)
        column = picture.width // 2
        picture.crop((column, 0, column + 1, picture.height)).save(path)
    found = scored(segmenter, root)
    labels = np.asarray(Image.open(root / "SegmentationClass" / f"{NAMES[0]}.png"))
    for label in set(np.unique(labels).tolist()) - {0, 255}:
        assert (labels == label).sum() <= found.union[0, label] <= (labels != 255).sum()
