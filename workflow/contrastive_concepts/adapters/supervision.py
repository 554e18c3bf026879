"""Keeps the queries' detections and masks in the `Detections` of roboflow's supervision."""

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from contrastive_concepts.adapters.claims import KEPT, OVERLAP, Array, claims
from contrastive_concepts.adapters.prompts import Numbers, Prompts
from contrastive_concepts.errors import UserError

if TYPE_CHECKING:
    from supervision import Detections

TAKEN_BY = "taken_by"
CORNERS = "xyxyxyxy"
"""The key of `Detections.data` under which supervision has the corners of oriented boxes."""


def keep_queries(detections: "Detections", prompts: Prompts, overlap: float = OVERLAP) -> "Detections":
    """The detections of the queries that no negative takes, in their order.

    detections: what a model found that was asked `prompts.texts`: `class_id` is a place in them, and in the result the
    number of the query. The rule is that of `claims`: a negative takes a detection that it overlaps by an IoU of at
    least `overlap` with a higher confidence. Masks are compared if there are any, else oriented boxes, else boxes.
    Without `confidence` (segmentation maps) all of the queries are kept. Raises UserError for a class not asked."""
    return cast("Detections", detections[_fate(detections, prompts, overlap) == KEPT])


def taken_from_queries(detections: "Detections", prompts: Prompts, overlap: float = OVERLAP) -> "Detections":
    """The detections of the queries that `keep_queries` drops; `data["taken_by"]` has the negative of each."""
    fate = _fate(detections, prompts, overlap)
    rows = np.flatnonzero(fate >= 0)
    takers = np.array([prompts.texts[number] for number in _classes(detections)[fate[rows]]], np.str_)
    found = cast("Detections", detections[rows])
    return replace(found, data={**found.data, TAKEN_BY: takers})


def _classes(detections: "Detections") -> Array:
    if detections.class_id is None:
        if len(detections):
            raise UserError("detections: found no class_id, expected places in prompts.texts")
        return np.zeros(0, np.int64)
    return detections.class_id


def _fate(detections: "Detections", prompts: Prompts, overlap: float) -> Numbers:
    def iou(a: Numbers, b: Numbers) -> Array:
        import supervision

        if detections.mask is not None:
            return supervision.mask_iou_batch(detections.mask[a], detections.mask[b])
        if CORNERS in detections.data:
            corners = np.asarray(detections.data[CORNERS])
            return supervision.oriented_box_iou_batch(corners[a], corners[b])
        return supervision.box_iou_batch(detections.xyxy[a], detections.xyxy[b])

    return claims(prompts, _classes(detections), detections.confidence, iou, overlap)
