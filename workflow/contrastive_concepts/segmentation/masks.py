"""Masks as pictures and in COCO's format, which labelling tools read."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from contrastive_concepts.dictionary.contrastive import Match
from contrastive_concepts.report.panels import label_colour
from contrastive_concepts.segmentation.concept_segmenter import Segmentation


def write_overlay(found: Segmentation, path: Path) -> None:
    Image.fromarray(found.overlay()).save(path, "PNG")


def mask_picture(found: Segmentation) -> Image.Image:
    """The mask as a grey picture of 0 and 255, of the photo's size."""
    return Image.fromarray(found.mask.astype(np.uint8) * 255)


def write_mask(found: Segmentation, path: Path) -> None:
    mask_picture(found).save(path, "PNG")


def write_label_map(found: Segmentation, path: Path) -> None:
    """A palette PNG as VOC's: the number of the query that took each pixel, from 1; 0 for all else."""
    picture = Image.fromarray(found.query_map.astype(np.uint8))
    picture.putpalette(
        [value for number in range(256) for value in ((0, 0, 0) if number == 0 else label_colour(number))]
    )
    picture.save(path, "PNG")


def annotations(found: Segmentation) -> list[dict[str, Any]]:
    """For each query that took a pixel: its COCO annotation without ids."""
    from pycocotools import mask as coco

    rows = []
    for number, query in enumerate(found.queries, start=1):
        mask = found.query_map == number
        if not mask.any():
            continue
        encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        rows.append(
            {
                "category_id": number,
                "segmentation": {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")},
                "area": int(mask.sum()),
                "bbox": [float(value) for value in coco.toBbox(encoded)],
                "iscrowd": 0,
                "attributes": {"query": query},
            }
        )
    return rows


def coco_file(
    queries: Sequence[str], photos: Iterable[Mapping[str, Any]], matches: Mapping[str, Match] | None = None
) -> dict[str, Any]:
    """All photos in COCO's format. photos: records of `folder.segment_photos`. matches: concepts of the queries."""
    images: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, photo in enumerate(photos, start=1):
        images.append(
            {
                "id": number,
                "file_name": photo["photo"],
                "height": photo["height"],
                "width": photo["width"],
                "negatives": photo["shares"],
                "files": photo["files"],
            }
        )
        for annotation in photo["annotations"]:
            found.append({"id": len(found) + 1, "image_id": number, **annotation})
    categories: list[dict[str, Any]] = []
    for number, query in enumerate(queries, start=1):
        match = (matches or {}).get(query)
        looked_up = {} if match is None else {"concept": match.concept, "similarity": match.similarity}
        categories.append({"id": number, "name": query, "supercategory": "", **looked_up})
    return {
        "info": {"description": "contrastive-concepts segment"},
        "images": images,
        "annotations": found,
        "categories": categories,
    }
