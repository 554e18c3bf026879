"""Official folder layouts on drawn and on real photos, and every kind of broken input."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation import contrastive_sets as cs
from contrastive_concepts.evaluation.datasets import LAYOUTS, Dataset, open_dataset, read_image
from contrastive_concepts.evaluation.scoring import evaluate_single
from contrastive_concepts.segmenters import build
from tests.conftest import DATA
from tests.drawn_photos import drawn_dataset
from tests.helpers import vectors
from tests.synthetic_clip import clip_model

SEG = DATA / "seg"
ROOTS = {
    "voc21": ("VOCdevkit/VOC2012", 24),
    "voc20": ("VOCdevkit/VOC2012", 24),
    "ade20k": ("ADEChallengeData2016", 16),
    "coco_stuff": ("coco_stuff164k", 22),
    "coco_object": ("coco_stuff164k", 22),
}


def names(kind: str) -> list[str]:
    count = LAYOUTS[kind].classes or 3
    first = ["background"] if LAYOUTS[kind].background else []
    return first + [f"class {k}" for k in range(count - len(first))]


@pytest.mark.parametrize(
    ("kind", "layout", "classes"),
    [
        ("voc21", "voc", {0, 4, 15, 255}),
        ("voc20", "voc", {3, 14, 255}),
        ("ade20k", "ade20k", {2, 26, 76, 255}),
        ("coco_stuff", "coco", {145, 8, 166, 255}),
        ("coco_object", "coco", {0, 9}),  # what has no label is background too
        ("cityscapes", "cityscapes", {10, 13, 0, 255}),
    ],
)
def test_drawn_photos_end_to_end(kind: str, layout: str, classes: set[int], tmp_path: Path) -> None:
    drawn = drawn_dataset(tmp_path, layout, 3)
    data = Dataset(kind, tmp_path, names(kind))
    assert [Path(name).name for name in data.names] == drawn
    scored_from_the_files(data)
    assert all(set(np.unique(sample.labels).tolist()) == classes for sample in data)


@pytest.mark.skipif(not SEG.is_dir(), reason="../shared/data/seg is not on this machine")
@pytest.mark.parametrize("kind", ROOTS)
def test_real_photos_end_to_end(kind: str) -> None:
    folder, count = ROOTS[kind]
    data = Dataset(kind, SEG / folder, names(kind))
    assert len(data) == count
    scored_from_the_files(data)


def scored_from_the_files(data: Dataset) -> None:
    few = [data.read(name) for name in data.names[:2]]
    segmenter = build("maskclip", clip_model(layers=2, patch=8, size=64))
    protocol = Protocol(short_side=64, window=64, stride=32)
    [scores] = evaluate_single(segmenter, few, data.classes, data.queries, [cs.background_only()], vectors, protocol)
    assert 0 <= scores.iou_single() <= 1
    for sample in data:
        assert sample.labels.shape == sample.image.shape[:2]
        assert sample.labels[sample.labels != 255].max(initial=0) < len(data.classes)


def test_coco_tables() -> None:
    stuff, thing = (dict(LAYOUTS[kind].masks)[".png"] for kind in ("coco_stuff", "coco_object"))
    assert stuff is not None
    assert thing is not None
    assert [stuff[k] for k in (0, 10, 12, 89, 91, 181, 255, 11, 90)] == [0, 10, 11, 79, 80, 170, 255, 255, 255]
    assert sorted(set(stuff.tolist())) == [*range(171), 255]
    assert [thing[k] for k in (0, 89, 91, 181, 255)] == [1, 80, 0, 0, 0]
    assert sorted(set(thing.tolist())) == [*range(81)]


def test_cityscapes_layout(tmp_path: Path) -> None:
    for folder in ("leftImg8bit/val/bern", "gtFine/val/bern"):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("RGB", (8, 4)).save(tmp_path / "leftImg8bit/val/bern/a_leftImg8bit.png")
    ids = np.array([[7, 8, 33, 0, 29, 24, 11, 255]] * 4, np.uint8)
    Image.fromarray(ids).save(tmp_path / "gtFine/val/bern/a_gtFine_labelIds.png")
    [sample] = Dataset("cityscapes", tmp_path, names("cityscapes"))
    assert sample.labels[0].tolist() == [0, 1, 18, 255, 255, 11, 2, 255]


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("a\n")
    (tmp_path / "classes.txt").write_text("background\nboat\nwater\n")
    write(tmp_path, Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)))
    return tmp_path


def write(root: Path, image: Image.Image, labels: np.ndarray | None = None) -> None:
    image.save(root / "JPEGImages/a.jpg", format="PNG" if image.mode == "RGBA" else "JPEG")
    if labels is None:
        labels = np.arange(image.width * image.height).reshape(image.height, image.width) % 3
    Image.fromarray(labels.astype(np.uint8)).save(root / "SegmentationClass/a.png")


def read(root: Path) -> Dataset:
    data = open_dataset("voc", root, root / "classes.txt")
    list(data)
    return data


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_grey_and_transparent_images_are_read_as_colour(toy: Path, mode: str) -> None:
    write(toy, Image.new(mode, (30, 20)))
    [sample] = read(toy)
    assert sample.image.shape == (20, 30, 3)


def test_an_image_one_pixel_wide_is_scored(toy: Path) -> None:
    write(toy, Image.new("RGB", (1, 40)))
    data = read(toy)
    model = clip_model(layers=2, patch=8, size=64)
    for name in ("maskclip", "gem"):
        protocol = Protocol(short_side=64, long_side=128, window=64, stride=32)
        segmenter = build(name, model)
        [scores] = evaluate_single(segmenter, data, data.classes, [1, 2], [cs.background_only()], vectors, protocol)
        assert scores.union[0, 1:].min() > 0


def test_broken_input_is_named(toy: Path) -> None:
    image, mask = toy / "JPEGImages/a.jpg", toy / "SegmentationClass/a.png"
    intact = image.read_bytes()
    for content in (intact[: len(intact) // 2], b"no image", b""):
        image.write_bytes(content)
        with pytest.raises(UserError, match=r"a\.jpg: cannot be decoded"):
            read(toy)
    image.unlink()
    with pytest.raises(UserError, match=r"a\.jpg: not found"):
        read(toy)
    image.write_bytes(intact)
    Image.fromarray(np.zeros((20, 29), np.uint8)).save(mask)
    with pytest.raises(UserError, match=r"a\.png: found 20x29, expected its image's 20x30"):
        read(toy)
    Image.fromarray(np.full((20, 30), 3, np.uint8)).save(mask)
    with pytest.raises(UserError, match=r"found class number 3, expected 0\.\.2 or 255"):
        read(toy)
    Image.new("RGB", (30, 20)).save(mask)
    with pytest.raises(UserError, match="found 3 channels"):
        read(toy)
    mask.unlink()
    with pytest.raises(UserError, match=r"a\.png: not found, expected the labels of 'a'"):
        read(toy)
    (toy / "ImageSets/Segmentation/val.txt").write_text("\n")
    with pytest.raises(UserError, match="empty list"):
        read(toy)


def test_wrong_class_lists(toy: Path) -> None:
    with pytest.raises(UserError, match="found 3 names, expected 21"):
        open_dataset("voc21", toy, toy / "classes.txt")
    with pytest.raises(UserError, match=r"classes2\.txt: not found"):
        open_dataset("voc", toy, toy / "classes2.txt")
    (toy / "classes.txt").write_text("boat\nbackground\n")
    with pytest.raises(UserError, match="class 0: found 'boat'"):
        open_dataset("voc", toy, toy / "classes.txt")
    with pytest.raises(UserError, match="expected one of voc"):
        open_dataset("vok", toy, toy / "classes.txt")


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What a viewer shows of stored pixels, by the EXIF standard."""
    upright = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: a.swapaxes(0, 1)[:, ::-1],
        7: lambda a: a.swapaxes(0, 1)[::-1, ::-1], 8: lambda a: a.swapaxes(0, 1)[::-1],
    }  # fmt: skip
    return upright[orientation](pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(24, 40), (32, 32)])
def test_a_turned_photo_meets_its_mask(
    orientation: int, size: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = np.zeros((*size, 3), np.uint8)
    stored[: size[0] // 2, : size[1] // 2] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = tmp_path / "JPEGImages" / "a.jpg"
    photo.parent.mkdir()
    Image.fromarray(stored).save(photo, exif=exif, quality=100, subsampling=0)
    upright = turned(stored, orientation)
    assert np.abs(read_image(photo).astype(int) - upright).max() < 32
    data = Dataset("voc", tmp_path, names("voc"), names=("a",))
    for kind, mask_size in (("turned", upright.shape[:2]), ("stored", size)):
        mask = tmp_path / "SegmentationClass" / "a.png"
        mask.parent.mkdir(exist_ok=True)
        Image.fromarray(np.ones(mask_size, np.uint8)).save(mask)
        sample = data.read("a")
        either = upright.shape[:2] == size
        expected = upright if either or kind == "turned" else stored
        assert np.abs(sample.image.astype(int) - expected).max() < 32
    data.read("a")
    printed = capsys.readouterr().err
    assert printed.count("\n") == (either and orientation > 1)
    if printed:
        assert f"{photo}: warning: turned by EXIF orientation {orientation}" in printed
    Image.fromarray(np.ones((7, 9), np.uint8)).save(mask)
    with pytest.raises(UserError, match=r"a\.png: found 7x9, expected its image's"):
        data.read("a")


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none(orientation: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((24, 40, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg", (24, 40)).shape == (24, 40, 3)
    assert capsys.readouterr().err == ""
