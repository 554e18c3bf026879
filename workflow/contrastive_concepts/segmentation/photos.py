"""Finds a user's photos and reads them as uint8 RGB, upright."""

import os
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.evaluation.datasets import read_image
from contrastive_concepts.segmenters.segmenter import Pixels

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Suffixes of the photos that are looked for in a folder, in any letter case."""
RESULTS = (".mask.png", ".overlay.png", ".labels.png")
"""Ends of the names of results."""


def find_photos(places: Sequence[str], output: Path | None = None) -> list[Path]:
    """The photos at files, folders and globs, without repetitions, in the order given; those of a folder by name.

    output: a folder of results, which are no photos. Raises UserError for a place without any photo, unless it lies in
    the output."""
    results = None if output is None else _absolute(output)
    found: dict[Path, Path] = {}
    for place in places:
        photos = [photo for photo in _at(place) if not _is_result(photo, results)]
        inside = results is not None and results in (_absolute(Path(place)), *_absolute(Path(place)).parents)
        if not photos and not inside:
            raise UserError(f"{place}: found no photo, expected files of the kinds {', '.join(SUFFIXES)}")
        for photo in photos:
            found.setdefault(_absolute(photo), photo)
    if not found:
        raise UserError(f"{', '.join(places)}: found no photo beside the results in it")
    return list(found.values())


def _absolute(path: Path) -> Path:
    """Not `resolve`, which fails at links that lead to each other."""
    return Path(os.path.abspath(path))


def _is_result(photo: Path, output: Path | None) -> bool:
    return output is not None and photo.name.endswith(RESULTS) and _absolute(photo).parent == output


def _at(place: str) -> list[Path]:
    path = Path(place)
    try:
        if path.is_dir():
            return [each for each in sorted(path.rglob("*")) if each.suffix.lower() in SUFFIXES and each.is_file()]
        if path.is_file():
            return [path]
        if has_magic(place):
            return [each for each in map(Path, sorted(glob(place, recursive=True))) if each.is_file()]
    except OSError as error:
        raise UserError(f"{place}: cannot be read ({one_line(error)})") from None
    raise UserError(f"{place}: not found, expected a photo, a folder or a glob")


def as_pixels(image: Any) -> Pixels:
    """A photo as uint8 RGB [H, W, 3]: a path, a PIL image, or an array.

    Files and PIL images are turned by their EXIF orientation. Transparency is dropped, grey is repeated in all
    channels, 16 bits are reduced to 8. Arrays are uint8 or uint16, [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]. Raises
    UserError for anything else, or a file that cannot be read."""
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        try:
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("I", "F"):
                raise UserError(f"image: found the mode {upright.mode}, expected 8 or 16 bits a channel")
            array = np.asarray(upright if upright.mode.startswith("I;16") else upright.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise UserError(f"image: cannot be decoded ({one_line(error)})") from None
    else:
        try:
            array = np.asarray(image)
        except ValueError as error:
            raise UserError(f"image: found no array ({one_line(error)})") from None
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        array = array.astype(np.uint16)  # in the machine's order of bytes
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    colour = array.ndim == 3 and array.shape[2] in (3, 4)
    if array.dtype not in (np.uint8, np.uint16) or not (grey or colour) or 0 in array.shape:
        found = f"{array.dtype} {array.shape}"
        raise UserError(f"image: found {found}, expected uint8 or uint16 [H, W], [H, W, 3] or [H, W, 4]")
    array = (array >> 8).astype(np.uint8) if array.dtype == np.uint16 else array
    array = np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2) if grey else array[..., :3]
    return np.ascontiguousarray(array)
