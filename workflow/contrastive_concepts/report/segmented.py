"""Rows of Figures 3, 4 and 6: one query of one image under several contrastive sets."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet
from contrastive_concepts.evaluation.datasets import Sample
from contrastive_concepts.evaluation.metrics import IGNORED
from contrastive_concepts.evaluation.protocol import encode, label_map, similarities
from contrastive_concepts.evaluation.single import added_channels, labels_in, shown_classes, single_query
from contrastive_concepts.evaluation.texts import TextRows
from contrastive_concepts.report.panels import Panel, image_panel, map_panel, query_panel
from contrastive_concepts.segmenters.segmenter import Segmenter


def segmented_row(
    segmenter: Segmenter,
    sample: Sample,
    classes: Sequence[str],
    label: int,
    sets: Mapping[str, ContrastiveSet],
    texts: TextRows,
    protocol: Protocol,
    maps: Collection[str],
    nearest: str | None = None,
) -> list[Panel]:
    """The image, the ground truth of class `label`, and its segmentation under each set. sets: title -> set.

    The image is encoded once. maps: titles of the sets whose full map is shown too, with black pixels where the
    method's own background handling took them. nearest: concept that the query was mapped to, printed in the title."""
    query = classes[label]
    present = [classes[shown] for shown in shown_classes(labels_in(sample.labels), range(len(classes)))]
    title = query if nearest in (None, query) else f"{query} (nearest: {nearest})"
    panels = [image_panel(title, sample.image), query_panel("ground truth", sample.image, sample.labels == label)]
    encoded = encode(segmenter, sample.image, protocol)
    for name, contrastive_set in sets.items():
        asked = single_query(segmenter, contrastive_set, query, present)
        compared = similarities(segmenter, encoded, torch.from_numpy(texts.select(asked.texts)), asked.boosts)
        rows = range(len(asked.texts))
        found = label_map(segmenter, encoded, compared, rows, contrastive_set.original, asked.classes).cpu().numpy()
        found = found - added_channels(segmenter, contrastive_set)
        panels.append(query_panel(name, sample.image, np.isin(found, asked.own)))
        if name in maps:
            # The query is first, so that it has the same colour in every map.
            negatives = list(dict.fromkeys(asked.texts[row] for row in rows if row not in asked.own))
            names = [query, *negatives]
            full = np.full(found.shape, IGNORED, np.uint8)
            for row, text in enumerate(asked.texts):
                full[found == row] = 0 if row in asked.own else 1 + negatives.index(text)
            panels.append(map_panel(f"{name}: all concepts", sample.image, full, names))
    return panels
