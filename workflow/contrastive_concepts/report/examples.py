"""Chooses the queries for the qualitative figures by a fixed rule that does not depend on the segmentations."""

from collections.abc import Iterator, Sequence

import numpy as np

from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.datasets import Dataset, Sample
from contrastive_concepts.evaluation.single import labels_in, shown_classes

LEAST, MOST = 0.05, 0.6
"""Limits for the share of the image that the class covers, so that it is neither tiny nor almost the whole image."""


def examples(dataset: Dataset, queries: Sequence[int], count: int) -> Iterator[tuple[Sample, int]]:
    """`count` samples, each with a label. Goes through the images in order and takes an image that shows at least two
    queries, one of them new and of a size within the limits. Each class is used once."""
    shown: set[int] = set()
    for sample in dataset:
        present = shown_classes(labels_in(sample.labels), queries)
        areas = {label: float(np.mean(sample.labels == label)) for label in present if label not in shown}
        fitting = [label for label, area in areas.items() if LEAST <= area <= MOST]
        if len(present) < 2 or not fitting:
            continue
        shown.add(fitting[0])
        yield sample, fitting[0]
        if len(shown) == count:
            return


def named_examples(dataset: Dataset, wanted: Sequence[tuple[str, str]]) -> Iterator[tuple[Sample, int]]:
    """The given pairs of image and class. Raises UserError for a name that is not in the data set, or an image that
    does not show the class."""
    for image, query in wanted:
        if image not in dataset.names:
            raise UserError(f"figure: found image {image!r}, expected one of the {len(dataset)} of {dataset.kind}")
        if query not in dataset.classes:
            count = len(dataset.classes)
            raise UserError(f"figure: found class {query!r}, expected one of the {count} of {dataset.kind}")
        sample, label = dataset.read(image), dataset.classes.index(query)
        if not (sample.labels == label).any():
            raise UserError(f"figure: image {image!r}: found no pixel of {query!r}, expected an image that shows it")
        yield sample, label
