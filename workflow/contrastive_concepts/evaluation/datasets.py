"""Reads the paper's data sets in their official folder layouts, one image and label map at a time."""

import io
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from pydantic import BaseModel

from contrastive_concepts.config.evaluation import DatasetSettings, ToyDataset
from contrastive_concepts.config.selection import BACKGROUND
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.evaluation.metrics import IGNORED, Labels, reduce_zero_label
from contrastive_concepts.resources import resource
from contrastive_concepts.text_files import read_lines

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What images can be; others, as EPS, would start further programs."""
TURNED = range(2, 9)
"""EXIF orientations other than upright."""


def read_image(path: Path, size: tuple[int, int] | None = None) -> Pixels:
    """As `decode_image`, of a file. Raises UserError also if it is missing."""
    return decode_image(_content(path), path, size)


def decode_image(content: bytes, place: Path | str, size: tuple[int, int] | None = None) -> Pixels:
    """uint8 RGB [H, W, 3], decoded by OpenCV as in mmsegmentation: rotated by the EXIF orientation, grey repeated in
    all channels, alpha dropped. Raises UserError, which names the place, if the content is damaged or truncated.

    size: height and width of its mask. If only the photo without rotation has that size, it is not rotated. If both
    have it, a warning says that photo and mask may have different orientations."""
    # Detects truncation: OpenCV silently fills the rest of a truncated JPEG with grey.
    _, orientation = _decoded(content, place)
    turned = _pixels(content, place, cv2.IMREAD_COLOR)
    if size is None or orientation not in TURNED:
        return turned
    stored = _pixels(content, place, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if stored.shape[:2] == size and turned.shape[:2] != size:
        return stored
    if stored.shape == turned.shape and turned.shape[:2] == size:
        _warn(f"{place}: warning: turned by EXIF orientation {orientation}; its mask has the same size turned or not")
    return turned


def read_labels(path: Path, size: tuple[int, int] | None = None) -> Labels:
    """Label map [H, W] as stored (palette index or grey value). Raises UserError for a colour image or another size."""
    labels, _ = _decoded(_content(path), path)
    if labels.ndim != 2:
        raise UserError(f"{path}: found {labels.shape[2]} channels, expected one label a pixel")
    if size is not None and labels.shape != size:
        raise UserError(f"{path}: found {labels.shape[0]}x{labels.shape[1]}, expected its image's {size[0]}x{size[1]}")
    return labels


def read_pair(image: Path, mask: Path) -> tuple[Pixels, Labels]:
    """A photo and its mask, of the same size. Raises the errors of `read_image` and `read_labels`."""
    labels = read_labels(mask)
    pixels = read_image(image, (labels.shape[0], labels.shape[1]))
    if pixels.shape[:2] != labels.shape:
        found, expected = ("x".join(map(str, each.shape[:2])) for each in (labels, pixels))
        raise UserError(f"{mask}: found {found}, expected its image's {expected}")
    return pixels, labels


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"{path}: not found")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)})") from None


def _pixels(content: bytes, place: Path | str, flags: int) -> Pixels:
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise UserError(f"{place}: cannot be decoded, expected an image")
    return np.asarray(pixels[..., ::-1], np.uint8).copy()


@cache
def _warn(line: str) -> None:
    """Print a warning, once per file even if the file is read several times."""
    print(line, file=sys.stderr)


def _decoded(content: bytes, place: Path | str) -> tuple[np.ndarray[Any, np.dtype[Any]], int]:
    """The image as stored, without rotation, and its EXIF orientation (1: upright)."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            picture.load()
            return np.asarray(picture), int(picture.getexif().get(ExifTags.Base.Orientation) or 1)
    except UnidentifiedImageError:
        raise UserError(f"{place}: cannot be decoded, expected an image") from None
    except (Image.DecompressionBombError, OSError, RuntimeError, SyntaxError, ValueError, TypeError) as error:
        raise UserError(f"{place}: cannot be decoded ({one_line(error)})") from None


CLASSES = "a list of classes, one a line"

Lookup = np.ndarray[Any, np.dtype[np.uint8]]


def _coco_stuff() -> Lookup:
    """Pixel map (0-based COCO ids, 11 gaps among the things) -> 0..170."""
    gaps = {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}
    table = np.full(256, IGNORED, np.uint8)
    kept = [label for label in range(182) if label not in gaps]
    table[kept] = np.arange(len(kept))
    return table


def _coco_object() -> Lookup:
    """Pixel map -> 1..80 for things, 0 for all else. Unlabelled pixels are background too, not ignored."""
    stuff = _coco_stuff()
    return np.where(stuff < 80, stuff + 1, 0).astype(np.uint8)


def _cityscapes() -> Lookup:
    table = np.full(256, IGNORED, np.uint8)
    table[[7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]] = np.arange(19)
    return table


@dataclass(frozen=True)
class Layout:
    """Paths of a data set's files below its root. {split} is filled in.

    masks: suffixes of label files, each with its lookup table; the first file that exists is read. listing: file of
    image names; None searches the image folder. classes: number of classes, None for any. zero: label 0 is ignored, and
    the others are reduced by one."""

    images: str
    image_suffix: str
    labels: str
    masks: tuple[tuple[str, Lookup | None], ...]
    classes: int | None
    split: str
    listing: str | None = None
    zero: bool = False
    background: bool = False


def _voc(labels: str, listing: str, classes: int | None, zero: bool) -> Layout:
    listing = f"ImageSets/{listing}/{{split}}.txt"
    return Layout("JPEGImages", ".jpg", labels, ((".png", None),), classes, "val", listing, zero, background=not zero)


def _coco(own: str, table: Lookup, classes: int, background: bool) -> Layout:
    masks = ((own, None), (".png", table))
    return Layout("images/{split}", ".jpg", "annotations/{split}", masks, classes, "val2017", background=background)


LAYOUTS: dict[str, Layout] = {
    "voc": _voc("SegmentationClass", "Segmentation", None, zero=False),
    "voc21": _voc("SegmentationClass", "Segmentation", 21, zero=False),
    "voc20": _voc("SegmentationClass", "Segmentation", 20, zero=True),
    "context60": _voc("SegmentationClassContext", "SegmentationContext", 60, zero=False),
    "context59": _voc("SegmentationClassContext", "SegmentationContext", 59, zero=True),
    "coco_stuff": _coco("_labelTrainIds.png", _coco_stuff(), 171, background=False),
    "coco_object": _coco("_instanceTrainIds.png", _coco_object(), 81, background=True),
    "cityscapes": Layout(
        "leftImg8bit/{split}", "_leftImg8bit.png", "gtFine/{split}",
        (("_gtFine_labelTrainIds.png", None), ("_gtFine_labelIds.png", _cityscapes())), 19, "val",
    ),
    "ade20k": Layout(
        "images/{split}", ".jpg", "annotations/{split}", ((".png", None),), 150, "validation", zero=True
    ),
}  # fmt: skip
"""`voc` is VOC's layout with any class list. The toy world uses it."""


@dataclass(frozen=True)
class Sample:
    """One image: uint8 RGB [H, W, 3] and its labels uint8 [H, W], which are class numbers or 255 (ignored)."""

    name: str
    image: Pixels
    labels: Labels


@dataclass(frozen=True)
class Dataset:
    """Images of one split, read one at a time. Raises UserError for a wrong class list, or an empty or missing list.

    classes: names by label (after the shift of data sets with a zero label), "background" first if the layout has it.
    """

    kind: str
    root: Path
    classes: Sequence[str]
    split: str = ""
    names: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.kind not in LAYOUTS:
            raise UserError(f"data set: found {self.kind!r}, expected one of {', '.join(LAYOUTS)}")
        expected = self.layout.classes
        if len(self.classes) != (expected or max(len(self.classes), 1)):
            raise UserError(f"data set {self.kind}: class list: found {len(self.classes)} names, expected {expected}")
        if len(set(self.classes)) != len(self.classes) or not all(self.classes):
            raise UserError(
                f"data set {self.kind}: class list: found an empty or repeated name, expected distinct names"
            )
        if self.layout.background and self.classes[0] != BACKGROUND:
            raise UserError(f"data set {self.kind}: class 0: found {self.classes[0]!r}, expected {BACKGROUND!r}")
        if not self.names:
            object.__setattr__(self, "names", tuple(self._listed()))

    @property
    def layout(self) -> Layout:
        return LAYOUTS[self.kind]

    @property
    def has_background(self) -> bool:
        return self.layout.background

    @property
    def queries(self) -> list[int]:
        """Labels of the queries: all classes except the background."""
        return list(range(int(self.has_background), len(self.classes)))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Sample]:
        return (self.read(name) for name in self.names)

    def _folder(self, pattern: str) -> Path:
        return Path(self.root) / pattern.format(split=self.split or self.layout.split)

    def _listed(self) -> list[str]:
        if self.layout.listing is not None:
            return read_lines(self._folder(self.layout.listing), "a list of images, one a line")
        folder, suffix = self._folder(self.layout.images), self.layout.image_suffix
        if not folder.is_dir():
            raise UserError(f"{folder}: not found, expected the images of {self.kind}")
        names = sorted(path.relative_to(folder).as_posix().removesuffix(suffix) for path in folder.rglob(f"*{suffix}"))
        if not names:
            raise UserError(f"{folder}: found no *{suffix}, expected the images of {self.kind}")
        return names

    def read(self, name: str) -> Sample:
        """Read one image. Raises UserError for a missing or damaged file, a wrong mask size or an unknown label."""
        photo = self._folder(self.layout.images) / f"{name}{self.layout.image_suffix}"
        path, table = self._mask(name)
        image, stored = read_pair(photo, path)
        if int(stored.max()) > IGNORED or int(stored.min()) < 0:
            raise UserError(f"{path}: found label {int(stored.max())}, expected 0..{IGNORED}")
        labels = stored.astype(np.uint8) if table is None else table[stored]
        labels = reduce_zero_label(labels) if self.layout.zero else labels
        known = labels[labels != IGNORED]
        if known.size and int(known.max()) >= len(self.classes):
            raise UserError(
                f"{path}: found class number {int(known.max())}, expected 0..{len(self.classes) - 1} or 255"
            )
        return Sample(name, image, labels)

    def _mask(self, name: str) -> tuple[Path, Lookup | None]:
        folder = self._folder(self.layout.labels)
        for suffix, table in self.layout.masks:
            if (folder / f"{name}{suffix}").is_file():
                return folder / f"{name}{suffix}", table
        raise UserError(f"{folder / name}{self.layout.masks[0][0]}: not found, expected the labels of {name!r}")


def open_dataset(kind: str, root: Path, class_list: Path | None = None, split: str = "") -> Dataset:
    """Open a data set. class_list: text file of class names, one per line in label order; None: the official names."""
    if class_list is None:
        if kind not in LAYOUTS or LAYOUTS[kind].classes is None:
            raise UserError(f"data set {kind}: class list is missing, expected a file of names, one a line")
        class_list = resource(f"classes/{kind}.txt")
    return Dataset(kind, root, read_lines(class_list, CLASSES), split)


class DatasetDescription(BaseModel):
    """Class names by label, the labels of the queries, and the names of the images in order."""

    kind: str
    classes: list[str]
    queries: list[int]
    images: list[str]

    @property
    def query_names(self) -> list[str]:
        return [self.classes[label] for label in self.queries]


def describe(dataset: Dataset) -> DatasetDescription:
    return DatasetDescription(
        kind=dataset.kind, classes=list(dataset.classes), queries=dataset.queries, images=list(dataset.names)
    )


def open_configured(settings: DatasetSettings, root: Path, class_list: Path) -> Dataset:
    """The data set below `root`. If the settings ask for a number of images, that many are drawn at random."""
    if isinstance(settings, ToyDataset):
        return Dataset("voc", root, read_lines(root / "classes.txt", CLASSES))
    dataset = Dataset(settings.kind, root, read_lines(class_list, CLASSES), settings.split)
    if settings.images is None or settings.images >= len(dataset):
        return dataset
    drawn = random.Random(settings.seed).sample(range(len(dataset)), settings.images)
    return replace(dataset, names=tuple(dataset.names[index] for index in sorted(drawn)))
