"""Images and label maps from files, every defect an error that names the file."""

import sys
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.evaluation.confusion import Labels
from contrastive_concepts.segmenters.segmenter import Pixels

TURNED = range(2, 9)
"""EXIF orientations other than upright."""


def read_image(path: Path, size: tuple[int, int] | None = None) -> Pixels:
    """uint8 RGB [H, W, 3], decoded by OpenCV as mmsegmentation does: turned by its EXIF orientation, grey repeated,
    alpha dropped. Raises UserError where the file is missing or broken, truncation included.

    size: height and width of its mask. Where only the photo as it was stored has that size, it is not turned; where
    both have it, a warning says that the mask may lie otherwise."""
    _, orientation = _decoded(path)  # OpenCV fills the rest of a truncated JPEG with grey and says nothing.
    turned = _pixels(path, cv2.IMREAD_COLOR)
    if size is None or orientation not in TURNED:
        return turned
    stored = _pixels(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if stored.shape[:2] == size and turned.shape[:2] != size:
        return stored
    if stored.shape == turned.shape and turned.shape[:2] == size:
        _warn(f"{path}: warning: turned by EXIF orientation {orientation}; its mask has the same size turned or not")
    return turned


def read_labels(path: Path, size: tuple[int, int] | None = None) -> Labels:
    """Label map [H, W] as stored (palette index or grey value). Raises UserError for colour or another size."""
    labels, _ = _decoded(path)
    if labels.ndim != 2:
        raise UserError(f"{path}: found {labels.shape[2]} channels, expected one label a pixel")
    if size is not None and labels.shape != size:
        raise UserError(f"{path}: found {labels.shape[0]}x{labels.shape[1]}, expected its image's {size[0]}x{size[1]}")
    return labels


def read_pair(image: Path, mask: Path) -> tuple[Pixels, Labels]:
    """A photo and its mask, of one size. Raises UserError as the two readers do."""
    labels = read_labels(mask)
    pixels = read_image(image, (labels.shape[0], labels.shape[1]))
    if pixels.shape[:2] != labels.shape:
        found, expected = ("x".join(map(str, each.shape[:2])) for each in (labels, pixels))
        raise UserError(f"{mask}: found {found}, expected its image's {expected}")
    return pixels, labels


def _pixels(path: Path, flags: int) -> Pixels:
    pixels = cv2.imread(str(path), flags)
    if pixels is None:
        raise UserError(f"{path}: cannot be decoded, expected an image")
    return np.asarray(pixels[..., ::-1], np.uint8).copy()


@cache
def _warn(line: str) -> None:
    """Once for each file, however often it is read."""
    print(line, file=sys.stderr)


def _decoded(path: Path) -> tuple[np.ndarray[Any, np.dtype[Any]], int]:
    """The file as it was stored, and its EXIF orientation (1: upright)."""
    if not path.is_file():
        raise UserError(f"{path}: not found")
    try:
        with Image.open(path) as picture:
            picture.load()
            return np.asarray(picture), int(picture.getexif().get(ExifTags.Base.Orientation) or 1)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, TypeError) as error:
        raise UserError(f"{path}: cannot be decoded ({one_line(error)})") from None
