"""Makes Pascal Context's label maps from the Detail annotations (`trainval_merged.json`), as in mmsegmentation."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.evaluation.metrics import Labels
from contrastive_concepts.text_files import utf8_stream

DETAIL_IDS = (
    0, 2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115, 144, 158, 159,
    162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349, 354, 355, 360, 366, 368, 397,
    415, 416, 420, 424, 427, 440, 445, 454, 458,
)  # fmt: skip
"""Category ids of the 60 classes. The label of a class is the rank of its id; 0 is the background."""

Region = tuple[int, Mapping[str, Any]]
"""label, mask"""

LABELS = {category: label for label, category in enumerate(DETAIL_IDS)}


def convert_context(annotations: Path, root: Path) -> dict[str, int]:
    """Write SegmentationClassContext/*.png and ImageSets/SegmentationContext/{train,val}.txt below VOC2010's folder.

    The annotations are read as a stream. Returns the number of images by split. Raises UserError for a file with
    another structure or a category that is not one of the 60."""
    try:
        images, regions = _read(annotations)
    except KeyError as key:
        raise UserError(f"{annotations}: found an entry without {key}, expected the Detail annotations") from None
    folder, lists = root / "SegmentationClassContext", root / "ImageSets" / "SegmentationContext"
    for made in (folder, lists):
        made.mkdir(parents=True, exist_ok=True)
    splits: dict[str, list[str]] = {"train": [], "val": []}
    for number, image in images.items():
        if image["phase"] not in splits:
            continue
        labels = np.zeros((int(image["height"]), int(image["width"])), np.uint8)
        for label, mask in regions.pop(number, []):
            covered = decode_mask(mask)
            if covered.shape != labels.shape:
                raise UserError(
                    f"{annotations}: image {number}: found a mask of {covered.shape}, expected {labels.shape}"
                )
            labels[covered] = label  # A later region overwrites an earlier one.
        name = Path(image["file_name"]).stem
        Image.fromarray(labels).save(folder / f"{name}.png")
        splits[image["phase"]].append(name)
    for split, names in splits.items():
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")
    return {split: len(names) for split, names in splits.items()}


def _read(annotations: Path) -> tuple[dict[int, dict[str, Any]], dict[int, list[Region]]]:
    images = {
        int(image["image_id"]): {key: image[key] for key in ("file_name", "height", "width", "phase")}
        for image in _items(annotations, "images")
    }
    regions: dict[int, list[Region]] = {}
    for region in _items(annotations, "annos_segmentation"):
        category, mask = int(region["category_id"]), region["segmentation"]
        if category not in LABELS:
            raise UserError(f"{annotations}: segmentation {region.get('id')}: category {category} is none of the 60")
        mask = {key: mask[key] for key in ("size", "counts")}
        regions.setdefault(int(region["image_id"]), []).append((LABELS[category], mask))
    return images, regions


def decode_mask(mask: Mapping[str, Any]) -> Labels:
    """COCO's compressed run lengths, {"size": [H, W], "counts": text} -> bool [H, W].

    Runs go down the columns and alternate between 0 and 1, starting with 0. Each length is written in base 32, low
    digits first, as characters from 48 on. Bit 32 of a character means that more follow, bit 16 is the sign. From the
    fourth run on, the number is the difference to the length two runs before. Raises UserError if the runs do not fill
    the mask; pycocotools 2.0.11 returns uninitialised memory in this case."""
    runs: list[int] = []
    value = shift = 0
    for character in mask["counts"]:
        digit = ord(character) - 48
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    height, width = (int(side) for side in mask["size"])
    if sum(runs) != height * width or min(runs, default=0) < 0:
        raise UserError(f"mask: found runs of {sum(runs)} pixels, expected {height}x{width}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def _items(path: Path, key: str) -> Iterator[dict[str, Any]]:
    import ijson

    found = 0
    try:
        with path.open("rb") as file:
            for found, item in enumerate(ijson.items(utf8_stream(file), f"{key}.item"), 1):  # noqa: B007
                yield item
    except FileNotFoundError:
        raise UserError(f"{path}: not found, expected trainval_merged.json of Pascal in Detail") from None
    except (ijson.JSONError, OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({one_line(error)})") from None
    if not found:
        raise UserError(f"{path}: found nothing under {key!r}, expected the Detail annotations")
