"""Drawn photos with their masks, in the folder layouts that the data sets are distributed in."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = (150, 113)
LAYOUTS = {
    "voc": ("JPEGImages/{}.jpg", "SegmentationClass/{}.png", "ImageSets/Segmentation/val.txt", "2007_{:06d}"),
    "ade20k": ("images/validation/{}.jpg", "annotations/validation/{}.png", None, "ADE_val_{:08d}"),
    "coco": ("images/val2017/{}.jpg", "annotations/val2017/{}.png", None, "{:012d}"),
    "cityscapes": (
        "leftImg8bit/val/bern/{}_leftImg8bit.png", "gtFine/val/bern/{}_gtFine_labelIds.png", None, "bern_{:06d}_000019",
    ),
}  # fmt: skip
"""Of each the photo, its mask, the list of names if there is one, and a name."""
SHOWN = {
    "voc": (0, 4, 15), "ade20k": (3, 27, 77), "coco": (156, 8, 177), "cityscapes": (23, 26, 7),
}  # fmt: skip
"""Stored labels of the background, the large shape and the small one: VOC none, boat, person; ADE20K sky, sea, boat; COCO
sky, boat, water; Cityscapes sky, car, road."""


def drawn_dataset(root: Path, layout: str, count: int = 2) -> list[str]:
    """Write so many photos and their masks below `root`; returns their names."""
    photo, mask, listing, name = LAYOUTS[layout]
    names = [name.format(number + 1) for number in range(count)]
    for number, each in enumerate(names):
        picture, labels = drawn(number, SHOWN[layout])
        for path, image in ((root / photo.format(each), picture), (root / mask.format(each), labels)):
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
    if listing:
        (root / listing).parent.mkdir(parents=True, exist_ok=True)
        (root / listing).write_text("".join(f"{each}\n" for each in names))
    return names


def drawn(number: int, shown: tuple[int, int, int]) -> tuple[Image.Image, Image.Image]:
    """A photo, and its labels as a palette image; an ignored line of 255 runs around the large shape."""
    generator = np.random.default_rng(number)
    width, height = SIZE if number % 2 == 0 else SIZE[::-1]
    noise = generator.integers(0, 60, (height, width, 3))
    picture = Image.fromarray((noise + generator.integers(60, 190, 3)).astype(np.uint8))
    labels = Image.new("P", (width, height), shown[0])
    left, top = generator.integers(5, 40, 2).tolist()
    large, small = (left, top, left + 60, top + 45), (left + 50, top + 40, left + 70, top + 62)
    for draw, fills, border in (
        (ImageDraw.Draw(picture), [tuple(generator.integers(0, 256, 3).tolist()) for _ in range(2)], None),
        (ImageDraw.Draw(labels), shown[1:], 255),
    ):
        draw.ellipse(large, fill=fills[0], outline=border, width=1 if border else 0)
        draw.rectangle(small, fill=fills[1])
    labels.putpalette(list(range(256)) * 3)
    return picture, labels
