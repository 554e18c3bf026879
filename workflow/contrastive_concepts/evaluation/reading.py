"""Images and label maps from files, every defect an error that names the file."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.evaluation.confusion import Labels
from contrastive_concepts.segmenters.segmenter import Pixels


def read_image(path: Path) -> Pixels:
    """uint8 RGB [H, W, 3], decoded by OpenCV as mmsegmentation does: EXIF orientation honoured, grey repeated, alpha
    dropped. Raises UserError where the file is missing or broken, truncation included."""
    _decoded(path)  # OpenCV fills the rest of a truncated JPEG with grey and says nothing.
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise UserError(f"{path}: cannot be decoded, expected an image")
    return np.asarray(pixels[..., ::-1], np.uint8).copy()


def read_labels(path: Path, size: tuple[int, int]) -> Labels:
    """Label map [H, W] as stored (palette index or grey value). Raises UserError for colour or another size."""
    labels = _decoded(path)
    if labels.ndim != 2:
        raise UserError(f"{path}: found {labels.shape[2]} channels, expected one label a pixel")
    if labels.shape != size:
        raise UserError(f"{path}: found {labels.shape[0]}x{labels.shape[1]}, expected its image's {size[0]}x{size[1]}")
    return labels


def _decoded(path: Path) -> np.ndarray[Any, np.dtype[Any]]:
    if not path.is_file():
        raise UserError(f"{path}: not found")
    try:
        with Image.open(path) as picture:
            picture.load()
            return np.asarray(picture)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: cannot be decoded ({one_line(error)})") from None
