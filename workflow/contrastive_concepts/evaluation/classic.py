"""Classic mIoU: all classes are queries, the union of their contrastive concepts are the negatives (paper 3.6)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.config.selection import BACKGROUND, BETA
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet, union
from contrastive_concepts.evaluation.datasets import Sample
from contrastive_concepts.evaluation.features import encode_samples
from contrastive_concepts.evaluation.metrics import IGNORED, Confusion, Labels
from contrastive_concepts.evaluation.protocol import EncodedImage, label_map, similarities
from contrastive_concepts.evaluation.texts import Embed, TextRows, embed_once
from contrastive_concepts.segmenters.segmenter import Segmenter


def classic_texts(classes: Sequence[str], queries: Sequence[int], contrastive_set: ContrastiveSet) -> Iterator[str]:
    """All texts that may be used, before the filter by beta."""
    names = [classes[label] for label in queries]
    return iter([BACKGROUND, *names, *(text for name in names for text in contrastive_set.negatives(name, names))])


@dataclass(frozen=True)
class ClassicQuery:
    """All queries of a data set under one contrastive set. texts: those to score. classes: label -> class number.

    A pixel that a negative takes is background (0) if the data set has that class, else 255, which is no class."""

    texts: tuple[str, ...]
    classes: Labels
    original: bool

    def predict(self, segmenter: Segmenter, encoded: EncodedImage, rows: TextRows) -> Labels:
        """Predicted classes of one image, int64 [H, W]."""
        compared = similarities(segmenter, encoded, rows.select(self.texts))
        found = label_map(segmenter, encoded, compared, range(len(self.texts)), self.original)
        return np.asarray(self.classes[found.cpu().numpy()])


def classic_query(
    segmenter: Segmenter,
    classes: Sequence[str],
    queries: Sequence[int],
    contrastive_set: ContrastiveSet,
    rows: TextRows,
    beta: float = BETA,
) -> ClassicQuery:
    """What a data set is asked for. beta: negatives with a higher cosine to any query are dropped."""
    names = [classes[label] for label in queries]
    vectors = {text: rows.matrix[rows.row[text]].numpy() for text in classic_texts(classes, queries, contrastive_set)}
    negatives = union(contrastive_set, names, vectors, beta)
    handled = contrastive_set.original and segmenter.background_is
    if handled == "text":
        negatives = tuple(text for text in negatives if text != BACKGROUND)
    # "background" is first: for equal scores, the official code gives the pixel to the first class.
    lead = (BACKGROUND,) if handled == "text" or BACKGROUND in negatives else ()
    texts = (*lead, *names, *(text for text in negatives if text != BACKGROUND))
    outside = 0 if 0 not in queries else IGNORED
    label_of = [outside] * (handled == "channel") + [outside] * len(lead) + list(queries)
    labels = np.array(label_of + [outside] * (len(texts) - len(lead) - len(names)), np.int64)
    return ClassicQuery(texts, labels, contrastive_set.original)


def segment_classes(
    segmenter: Segmenter,
    samples: Iterable[Sample],
    classes: Sequence[str],
    queries: Sequence[int],
    contrastive_set: ContrastiveSet,
    embed: Embed,
    protocol: Protocol,
    beta: float = BETA,
) -> Iterator[tuple[str, Labels, Labels]]:
    """For each sample: its name, its labels and its predicted classes, both [H, W], the latter int64."""
    rows = embed_once(classic_texts(classes, queries, contrastive_set), embed)
    query = classic_query(segmenter, classes, queries, contrastive_set, rows, beta)
    for sample in encode_samples(segmenter, samples, protocol):
        yield sample.name, sample.labels, query.predict(segmenter, sample.encoded, rows)


def evaluate_classic(
    segmenter: Segmenter,
    samples: Iterable[Sample],
    classes: Sequence[str],
    queries: Sequence[int],
    contrastive_set: ContrastiveSet,
    embed: Embed,
    protocol: Protocol,
    beta: float = BETA,
) -> Confusion:
    """Confusion over the data set. beta: negatives with a higher cosine to any query are dropped. Raises UserError if
    there are no images."""
    confusion = Confusion(len(classes))
    predictions = segment_classes(segmenter, samples, classes, queries, contrastive_set, embed, protocol, beta)
    for _, labels, predicted in predictions:
        confusion.add(predicted, labels)
    if len(confusion.union) == 0:
        raise UserError("mIoU: found 0 images, expected at least one")
    return confusion
