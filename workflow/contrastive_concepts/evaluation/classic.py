"""Classic mIoU: all classes are queries, the union of their contrastive concepts are the negatives (paper 3.6)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.config.selection import BACKGROUND, BETA
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet, union
from contrastive_concepts.evaluation.datasets import Sample
from contrastive_concepts.evaluation.features import encode_samples
from contrastive_concepts.evaluation.metrics import IGNORED, Confusion, Labels
from contrastive_concepts.evaluation.protocol import EncodedImage, label_map, similarities
from contrastive_concepts.evaluation.single import boosts_of
from contrastive_concepts.evaluation.texts import Embed, TextRows, embed_once
from contrastive_concepts.segmenters.segmenter import Segmenter


def classic_texts(classes: Sequence[str], queries: Sequence[int], contrastive_set: ContrastiveSet) -> Iterator[str]:
    """All texts that may be used, before the filter by beta."""
    names = [classes[label] for label in queries]
    own = (text for name in names for text in contrastive_set.names_of(name))
    return iter([BACKGROUND, *own, *(text for name in names for text in contrastive_set.negatives(name, names))])


@dataclass(frozen=True)
class ClassicQuery:
    """All queries of a data set under one contrastive set. texts: those to score. classes: label -> class number.

    A pixel that a negative takes is background (0) if the data set has that class, else 255, which is no class.
    of_text: 0 for each negative, and the same number for the texts of a query. boost: added to the cosine of
    "background" if that is a negative."""

    texts: tuple[str, ...]
    classes: Labels
    original: bool
    of_text: tuple[int, ...]
    boost: float = 0.0

    def predict(self, segmenter: Segmenter, encoded: EncodedImage, rows: TextRows) -> Labels:
        """Predicted classes of one image, int64 [H, W]."""
        # A repeated text once: a matrix product can round equal rows differently.
        distinct = {text: column for column, text in enumerate(dict.fromkeys(self.texts))}
        boosts = boosts_of(list(distinct), self.boost)
        compared = similarities(segmenter, encoded, torch.from_numpy(rows.select(list(distinct))), boosts)
        columns = [distinct[text] for text in self.texts]
        found = label_map(segmenter, encoded, compared, columns, self.original, self.of_text)
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
    vectors = {text: rows.matrix[rows.row[text]] for text in classic_texts(classes, queries, contrastive_set)}
    own = [contrastive_set.names_of(name) for name in names]
    if contrastive_set.verbatim:
        negatives = contrastive_set.negatives(names[0], names)
    else:
        negatives = union(contrastive_set, names, vectors, beta)
    handled = contrastive_set.original and segmenter.background_is
    if handled == "text":
        negatives = tuple(text for text in negatives if text != BACKGROUND)
    # "background" is first: for equal scores, the official code gives the pixel to the first class.
    lead: tuple[str, ...] = (BACKGROUND,) if handled == "text" or BACKGROUND in negatives else ()
    if contrastive_set.verbatim:
        lead = (*lead, *negatives) if handled == "text" else negatives
    rest = () if contrastive_set.verbatim else tuple(text for text in negatives if text != BACKGROUND)
    of_query = [number for number, texts in enumerate(own, start=1) for _ in texts]
    of_text = (*[0] * len(lead), *of_query, *[0] * len(rest))
    outside = 0 if 0 not in queries else IGNORED
    class_of = [outside, *queries]
    labels = np.array([outside] * (handled == "channel") + [class_of[number] for number in of_text], np.int64)
    named = tuple(text for texts in own for text in texts)
    boost = contrastive_set.boost if BACKGROUND in (*lead, *rest) else 0.0
    return ClassicQuery((*lead, *named, *rest), labels, contrastive_set.original, of_text, boost)


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
