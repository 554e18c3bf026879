"""Queries and negatives as the categories of a COCO JSON, and the queries' part of COCO results."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from contrastive_concepts.adapters.claims import KEPT, OVERLAP, Array, Overlaps, box_iou, claims
from contrastive_concepts.adapters.prompts import Prompts
from contrastive_concepts.errors import UserError
from contrastive_concepts.text_files import read_json, write_new

QUERY, NEGATIVE = "query", "negative"
"""The supercategories: what a reader of the file tells the two by."""


def categories(prompts: Prompts) -> list[dict[str, Any]]:
    """COCO's categories: ids from 1, queries first; `supercategory` is "query" or "negative"."""
    kinds = [QUERY] * len(prompts.queries) + [NEGATIVE] * len(prompts.negatives)
    return [
        {"id": number, "name": text, "supercategory": kind}
        for number, (text, kind) in enumerate(zip(prompts.texts, kinds, strict=True), start=1)
    ]


def write_categories(prompts: Prompts, target: str | Path) -> None:
    """Write a COCO JSON that has categories and no image yet. Raises UserError if the file exists."""
    content = {"images": [], "annotations": [], "categories": categories(prompts)}
    write_new(target, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def read_categories(path: str | Path) -> Prompts:
    """The queries and negatives of a COCO JSON, whatever else is in it. Raises UserError for other categories."""
    content = read_json(path, "a COCO JSON")
    rows = content.get("categories") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{path}: categories: found none, expected a list")
    kinds: dict[str, list[str]] = {QUERY: [], NEGATIVE: []}
    for number, row in enumerate(rows, start=1):
        kind = row.get("supercategory") if isinstance(row, dict) else None
        if kind not in kinds or row.get("id") != number or (kind == QUERY and kinds[NEGATIVE]):
            raise UserError(
                f"{path}: categories: row {number}: found {json.dumps(row)[:100]}, expected the id {number} and the "
                f"supercategory {QUERY!r} or, after all queries, {NEGATIVE!r}"
            )
        kinds[kind].append(row.get("name"))
    return Prompts(tuple(kinds[QUERY]), tuple(kinds[NEGATIVE]))


class Result(BaseModel):
    """What is read of a COCO result. bbox: x, y, width, height. segmentation: compressed RLE."""

    image_id: int | str
    category_id: int
    score: float
    bbox: tuple[float, float, float, float] | None = None
    segmentation: Any = None

    @property
    def mask(self) -> dict[str, Any] | None:
        found = self.segmentation
        return found if isinstance(found, dict) and isinstance(found.get("counts"), str | bytes) else None


def keep_queries(results: Sequence[dict[str, Any]], prompts: Prompts, overlap: float = OVERLAP) -> list[dict[str, Any]]:
    """The results of the queries that no negative of the same image takes, in their order.

    results: COCO results, {"image_id", "category_id", "score", "bbox" or "segmentation"}, with the ids of `categories`.
    The rule is that of `claims`. Masks (compressed RLE, read by pycocotools) are compared where all of an image's
    results have them, else boxes. Raises UserError for a result that lacks something, or a category not asked."""
    read = [_read(result, row, len(prompts.texts)) for row, result in enumerate(results)]
    of_image: dict[int | str, list[int]] = {}
    for row, result in enumerate(read):
        of_image.setdefault(result.image_id, []).append(row)
    kept: list[int] = []
    for rows in of_image.values():
        found = [read[row] for row in rows]
        classes = np.array([result.category_id - 1 for result in found], np.int64)
        scores = np.array([result.score for result in found], np.float64)
        fate = claims(prompts, classes, scores, _iou_of(found, rows), overlap)
        kept += [row for row, each in zip(rows, fate, strict=True) if each == KEPT]
    return [results[row] for row in sorted(kept)]


def keep_queries_of_file(source: str | Path, target: str | Path, prompts: Prompts, overlap: float = OVERLAP) -> int:
    """Write the results of a JSON file that `keep_queries` keeps to a new file, and return their number."""
    results = read_json(source, "a list of COCO results")
    if not isinstance(results, list):
        raise UserError(f"{source}: found no list, expected COCO results")
    try:
        kept = keep_queries(results, prompts, overlap)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    write_new(target, json.dumps(kept) + "\n")
    return len(kept)


def _read(result: Any, row: int, categories: int) -> Result:
    try:
        read = Result.model_validate(result)
    except ValidationError as error:
        [first, *_] = error.errors(include_url=False)
        place = ".".join(map(str, first["loc"])) or "all of it"
        raise UserError(f"result {row}: {place}: {first['msg']}, expected a COCO result") from None
    if not 1 <= read.category_id <= categories:
        raise UserError(f"result {row}: found category_id {read.category_id}, expected 1 to {categories}")
    if read.bbox is None and read.mask is None:
        raise UserError(f"result {row}: found no bbox and no compressed RLE, expected one of them")
    return read


def _iou_of(found: Sequence[Result], rows: Sequence[int]) -> Overlaps:
    masks = [result.mask for result in found]
    if None not in masks:
        return lambda a, b: _mask_iou([masks[row] for row in a], [masks[row] for row in b])
    for row, result in zip(rows, found, strict=True):
        if result.bbox is None:
            raise UserError(f"result {row}: found no bbox, expected one, as not all results of its image have masks")
    boxes = np.array([result.bbox for result in found], np.float64)
    boxes[:, 2:] += boxes[:, :2]
    return lambda a, b: box_iou(boxes[a], boxes[b])


def _mask_iou(a: list[Any], b: list[Any]) -> Array:
    try:
        from pycocotools import mask as coco
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed, expected it for masks: install contrastive-concepts[evaluation]"
        ) from None
    return np.asarray(coco.iou(a, b, [0] * len(b)))
