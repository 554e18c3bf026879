"""Marks in a FiftyOne data set which detections of the queries the negatives took, and saves both sides as views."""

from typing import Any

import numpy as np

from contrastive_concepts.adapters.claims import OVERLAP, box_claims
from contrastive_concepts.adapters.prompts import Prompts
from contrastive_concepts.errors import UserError

TAKEN_BY = "taken_by"


def save_views(dataset: Any, field: str, prompts: Prompts, overlap: float = OVERLAP) -> tuple[Any, Any]:
    """Save the views "`field` queries" and "`field` taken" of a data set, and return them.

    dataset: `fiftyone.Dataset`. field: the `Detections` of a model that was asked `prompts.texts` as its `classes`;
    nothing in it is deleted. "queries": the detections of the queries that no negative takes. "taken": those that one
    takes; their attribute `taken_by` has its text. The rule is that of `claims`, of boxes. Views of these names are
    replaced, so it can be called again with another overlap. Raises UserError if the field has no detection, or one of
    a label not asked."""
    from fiftyone import Detections, StringField, ViewField

    if not dataset.has_sample_field(field):
        raise UserError(f"{field}: found no such field in the data set {dataset.name!r}")
    found = 0
    for sample in dataset.select_fields(field).iter_samples(autosave=True):
        labels = sample[field]
        if labels is None:
            continue
        if not isinstance(labels, Detections):
            raise UserError(f"{field}: found {type(labels).__name__}, expected Detections")
        found += len(labels.detections)
        try:
            _mark(labels.detections, prompts, overlap)
        except UserError as error:
            raise UserError(f"{field}: {error}") from None
    if not found:
        raise UserError(f"{field}: found no detection in the data set {dataset.name!r}")
    dataset.add_sample_field(f"{field}.detections.{TAKEN_BY}", StringField)
    taken = ViewField(TAKEN_BY).exists()
    views = (
        (f"{field} queries", dataset.filter_labels(field, ViewField("label").is_in(prompts.queries) & ~taken)),
        (f"{field} taken", dataset.filter_labels(field, taken)),
    )
    for name, view in views:
        dataset.save_view(name, view, overwrite=True)
    return views[0][1], views[1][1]


def _mark(detections: list[Any], prompts: Prompts, overlap: float) -> None:
    classes = prompts.numbers([each.label for each in detections])
    scores = [each.confidence for each in detections]
    given = None if None in scores else np.array(scores, np.float64)
    boxes = np.array([each.bounding_box for each in detections], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    for each, fate in zip(detections, box_claims(prompts, classes, given, boxes, overlap), strict=True):
        each[TAKEN_BY] = prompts.texts[classes[fate]] if fate >= 0 else None
