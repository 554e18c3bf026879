"""Classic mIoU with all classes as queries and the union of their contrastive concepts as negatives (paper 3.6)."""

from collections.abc import Iterable, Sequence

import numpy as np

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.confusion import IGNORED, Confusion, Labels
from contrastive_concepts.evaluation.contrastive_sets import BACKGROUND, ContrastiveSet, union
from contrastive_concepts.evaluation.datasets import Sample
from contrastive_concepts.evaluation.protocol import encode, label_map, similarities
from contrastive_concepts.evaluation.single import Embed, embed_once
from contrastive_concepts.segmenters.segmenter import Segmenter


def segment_classes(
    segmenter: Segmenter,
    samples: Iterable[Sample],
    classes: Sequence[str],
    queries: Sequence[int],
    chosen: ContrastiveSet,
    embed: Embed,
    protocol: Protocol,
    beta: float = 0.9,
) -> Iterable[tuple[Sample, Labels]]:
    """Each sample with its predicted labels int64 [H, W]. A pixel that a negative takes is background (0) where the
    data set has that class, else 255: no query's."""
    names = [classes[label] for label in queries]
    candidates = dict.fromkeys(text for name in names for text in chosen.negatives(name, names))
    rows = embed_once([BACKGROUND, *names, *candidates], embed)
    vectors = {text: rows.matrix[row].numpy() for text, row in rows.row.items()}
    negatives = union(chosen, names, vectors, beta)
    handled = chosen.original and segmenter.background_is
    if handled == "text":
        negatives = tuple(text for text in negatives if text != BACKGROUND)
    # "background" first: on equal scores the official code gives the pixel to the first class.
    lead = (BACKGROUND,) if handled == "text" or BACKGROUND in negatives else ()
    texts = (*lead, *names, *(text for text in negatives if text != BACKGROUND))
    outside = 0 if 0 not in queries else IGNORED
    label_of = [outside] * (handled == "channel") + [outside] * len(lead) + list(queries)
    labels = np.array(label_of + [outside] * (len(texts) - len(lead) - len(names)), np.int64)
    matrix = rows.select(texts)
    for sample in samples:
        encoded = encode(segmenter, sample.image, protocol)
        compared = similarities(segmenter, encoded, matrix)
        found = label_map(segmenter, encoded, compared, range(len(texts)), chosen.original)
        yield sample, labels[found.cpu().numpy()]


def evaluate_classic(
    segmenter: Segmenter,
    samples: Iterable[Sample],
    classes: Sequence[str],
    queries: Sequence[int],
    chosen: ContrastiveSet,
    embed: Embed,
    protocol: Protocol,
    beta: float = 0.9,
) -> Confusion:
    """Confusion over the data set. beta: negatives with a higher cosine to any query are dropped. Raises UserError for
    no images."""
    confusion = Confusion(len(classes))
    predictions = segment_classes(segmenter, samples, classes, queries, chosen, embed, protocol, beta)
    for sample, predicted in predictions:
        confusion.add(predicted, sample.labels)
    if len(confusion.union) == 0:
        raise UserError("mIoU: found 0 images, expected at least one")
    return confusion
