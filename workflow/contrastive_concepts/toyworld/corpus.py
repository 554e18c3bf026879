"""Writes the toy world as files: LAION's caption shards, VOC's image folders, a contact sheet."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contrastive_concepts.errors import UserError
from contrastive_concepts.toyworld.captions import caption_image
from contrastive_concepts.toyworld.grammar import CLASSES
from contrastive_concepts.toyworld.render import SIZE, Bytes, draw_image

if TYPE_CHECKING:
    from PIL import Image

HELD_OUT = 1 << 32
"""Number of the first evaluation image. The corpus has no captions of images from here on."""

GAP = 2


def write_captions(folder: Path, captions: int, shards: int, seed: int, processes: int = 1) -> list[Path]:
    """Write parquet shards in LAION's layout (`URL`, `TEXT`), of nearly equal size. Equal arguments give equal bytes.

    Caption k describes image k of the seed, which is not rendered. Raises UserError for fewer captions than shards.
    """
    if captions < shards:
        raise UserError(f"toyworld.captions: found {captions}, expected at least one for each of {shards} shards")
    folder.mkdir(parents=True, exist_ok=True)
    edges = [captions * shard // shards for shard in range(shards + 1)]
    files = [folder / f"part-{shard:05d}.snappy.parquet" for shard in range(shards)]
    parts = zip(files, edges, edges[1:], repeat(seed), strict=False)
    if processes == 1:
        for part in parts:
            _write_shard(*part)
    else:
        with ProcessPoolExecutor(min(processes, shards), get_context("fork")) as pool:
            list(pool.map(_write_shard, *zip(*parts, strict=True)))
    return files


def _write_shard(path: Path, first: int, stop: int, seed: int) -> None:
    table = pa.table(
        {
            "URL": pa.array([f"https://toyworld.invalid/{seed}/{image}.jpg" for image in range(first, stop)]),
            "TEXT": pa.array([caption_image(seed, image) for image in range(first, stop)]),
        }
    )
    pq.write_table(table, path, compression="snappy")


def write_images(folder: Path, images: int, seed: int) -> None:
    """Write VOC's layout: JPEGImages, SegmentationClass, ImageSets/Segmentation/val.txt; classes.txt, index = line.

    JPEG quality 95 without chroma subsampling. Masks are palette PNGs, 0 = background. All images are held out.
    """
    from PIL import Image

    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    names = [f"toy_{image:06d}" for image in range(images)]
    for image, name in enumerate(names):
        pixels, labels = draw_image(seed, HELD_OUT + image)
        Image.fromarray(pixels).save(folder / "JPEGImages" / f"{name}.jpg", quality=95, subsampling=0)
        indexed(labels).save(folder / "SegmentationClass" / f"{name}.png")
    (folder / "ImageSets/Segmentation/val.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    lines = "".join(f"{name}\n" for name in ("background", *CLASSES))
    (folder / "classes.txt").write_text(lines, encoding="utf-8")


def indexed(labels: Bytes) -> "Image.Image":
    """A palette image with the labels as pixel values, in VOC's colours."""
    from PIL import Image

    picture = Image.new("P", (labels.shape[1], labels.shape[0]))
    picture.frombytes(labels.astype(np.uint8).tobytes())
    picture.putpalette(voc_palette())
    return picture


def voc_palette() -> bytes:
    """VOC's 256 colours: the bits of the index are spread over the high bits of red, green and blue."""
    index = np.arange(256)[:, None]
    channels = np.zeros((256, 3), np.int64)
    for bit in range(8):
        channels |= ((index >> (3 * bit + np.arange(3))) & 1) << (7 - bit)
    return channels.astype(np.uint8).tobytes()


def contact_sheet(rows: Sequence[Sequence[Bytes]], scale: int = 2) -> "Image.Image":
    """A grid of pictures, each uint8 RGB [64, 64, 3] or a mask [64, 64], enlarged without smoothing."""
    from PIL import Image

    palette = np.frombuffer(voc_palette(), np.uint8).reshape(256, 3)
    step = SIZE + GAP
    sheet = np.full((len(rows) * step, max(map(len, rows)) * step, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            colours = picture if picture.ndim == 3 else palette[picture]
            sheet[i * step : i * step + SIZE, j * step : j * step + SIZE] = colours
    return Image.fromarray(sheet).resize((sheet.shape[1] * scale, sheet.shape[0] * scale), Image.Resampling.NEAREST)
