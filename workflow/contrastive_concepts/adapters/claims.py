"""Which detections of the queries a negative takes: suppression across the classes, of queries by negatives alone."""

from collections.abc import Callable
from typing import Any

import numpy as np

from contrastive_concepts.adapters.prompts import Numbers, Prompts
from contrastive_concepts.errors import UserError

Array = np.ndarray[Any, np.dtype[Any]]
Boxes = np.ndarray[Any, np.dtype[np.floating[Any]]]
"""Corners x1, y1, x2, y2: [n, 4]."""
Overlaps = Callable[[Numbers, Numbers], Array]
"""The IoU of the detections at rows a [n] with those at rows b [m]: [n, m]."""
OVERLAP = 0.5
KEPT, NEGATIVE = -1, -2
ROWS = 256
"""Detections of queries that are compared at once: a detector without a threshold gives tens of thousands."""


def claims(prompts: Prompts, classes: Array, scores: Array | None, iou: Overlaps, overlap: float = OVERLAP) -> Numbers:
    """What becomes of each of n detections: `KEPT`, `NEGATIVE`, or the row of the detection that takes it, int64 [n].

    The rule: a detection of a query is kept unless a detection of a negative overlaps it by an IoU of at least
    `overlap` and has a higher score. The negative with the highest score takes it. Detections of queries do not
    suppress each other, and a negative takes what it overlaps whatever overlaps the negative itself.

    classes: class numbers [n]. scores: [n]; None: nothing is taken, detections of negatives are dropped all the same.
    Raises UserError for a class that was not asked, or a score that is not a number."""
    if not 0 < overlap <= 1:
        raise UserError(f"overlap: found {overlap}, expected an IoU above 0, at most 1")
    classes = np.asarray(classes)
    for row in np.flatnonzero((classes < 0) | (classes >= len(prompts.texts)))[:1]:
        raise UserError(
            f"detection {row}: found class {classes[row]}, expected 0 to {len(prompts.texts) - 1}, the texts asked"
        )
    negative = classes >= len(prompts.queries)
    fate = np.where(negative, NEGATIVE, KEPT).astype(np.int64)
    if scores is None:
        return fate
    for row in np.flatnonzero(np.isnan(scores))[:1]:
        raise UserError(f"detection {row}: found the score nan, expected a number")
    own, others = np.flatnonzero(~negative), np.flatnonzero(negative)
    if own.size and others.size:
        # The highest score first: then the first claim is the one that takes.
        others = others[np.argsort(-scores[others], kind="stable")]
        for rows in np.array_split(own, -(-own.size // ROWS)):
            claimed = (iou(rows, others) >= overlap) & (scores[others] > scores[rows][:, None])
            fate[rows] = np.where(claimed.any(axis=1), others[claimed.argmax(axis=1)], KEPT)
    return fate


def box_claims(
    prompts: Prompts, classes: Array, scores: Array | None, boxes: Boxes, overlap: float = OVERLAP
) -> Numbers:
    """`claims` of boxes, corners x1, y1, x2, y2 in any unit, [n, 4]."""
    return claims(prompts, classes, scores, lambda a, b: box_iou(boxes[a], boxes[b]), overlap)


def box_iou(a: Boxes, b: Boxes) -> Boxes:
    """Intersection over union of boxes [n, 4] with boxes [m, 4]: [n, m]. 0 if both are without area."""
    a, b = a[:, None].astype(np.float64), b[None].astype(np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = sides.clip(min=0).prod(axis=-1)
    union = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))
