"""IoU-single (paper 4.1, 6.1.2): each class that an image shows is a single query."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.config.selection import BACKGROUND
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet
from contrastive_concepts.evaluation.datasets import Sample
from contrastive_concepts.evaluation.features import EncodedSample, encode_samples
from contrastive_concepts.evaluation.metrics import IGNORED, Counts, Labels, Ratios, class_image_mean, mean, ratio
from contrastive_concepts.evaluation.protocol import label_map, similarities
from contrastive_concepts.evaluation.texts import Embed, TextRows, embed_once
from contrastive_concepts.segmenters.segmenter import Segmenter


@dataclass
class SingleScores:
    """Numbers of pixels by image and class, int64 [n, C]; zero if the image does not show the class."""

    name: str
    classes: tuple[str, ...]
    images: list[str] = field(default_factory=list)
    taken: dict[str, Counter[str]] = field(default_factory=dict)
    """Class -> contrastive text -> number of pixels it took (without ignored ones) in images that show the class."""

    def __post_init__(self) -> None:
        self._intersection: list[Counts] = []
        self._union: list[Counts] = []

    def start(self, image: str) -> None:
        self.images.append(image)
        self._intersection.append(np.zeros(len(self.classes), np.int64))
        self._union.append(np.zeros(len(self.classes), np.int64))

    def add_query(self, label: int, query: str, texts: Sequence[str], found: Labels, labels: Labels) -> None:
        """Add a query of the image that was started last. found: [H, W], indices of its texts, or -1 for none."""
        self.add(label, found == texts.index(query), labels)
        pixels = np.bincount(found[labels != IGNORED] + 1, minlength=len(texts) + 1)[1:].tolist()
        taken = {text: count for text, count in zip(texts, pixels, strict=True) if text != query and count}
        self.taken.setdefault(query, Counter()).update(taken)

    def add(self, label: int, mask: Labels, labels: Labels) -> None:
        """Add the mask of one query, bool [H, W]."""
        kept = labels != IGNORED
        truth = labels == label
        self._intersection[-1][label] += int((mask & truth).sum())
        self._union[-1][label] += int(((mask | truth) & kept).sum())

    @property
    def intersection(self) -> Counts:
        return np.array(self._intersection, np.int64).reshape(-1, len(self.classes))

    @property
    def union(self) -> Counts:
        return np.array(self._union, np.int64).reshape(-1, len(self.classes))

    def per_class(self) -> Ratios:
        """A: IoU of each class over the data set, float64 [C]; NaN if it never occurs."""
        return ratio(self.intersection.sum(0), self.union.sum(0))

    def iou_single(self) -> float:
        """A, the primary metric: mean over the classes that occur."""
        return mean(self.per_class())

    def pair_mean(self) -> float:
        """B: mean over all (image, class) pairs."""
        return mean(ratio(self.intersection, self.union).ravel())

    def image_mean(self) -> float:
        """C: mean over classes of the mean IoU over the images that show the class."""
        return class_image_mean(ratio(self.intersection, self.union))


def query_texts(
    segmenter: Segmenter, contrastive_set: ContrastiveSet, query: str, present: Sequence[str]
) -> tuple[str, ...]:
    """Texts of one query. The query is first, unless the background handling needs "background" first."""
    negatives = contrastive_set.negatives(query, present)
    if contrastive_set.original and segmenter.background_is == "text":
        return (BACKGROUND, query, *(text for text in negatives if text != BACKGROUND))
    return (query, *negatives)


def single_texts(
    segmenter: Segmenter, classes: Sequence[str], queries: Sequence[int], sets: Sequence[ContrastiveSet]
) -> Iterator[str]:
    """All texts that any query of any image can need."""
    names = [classes[label] for label in queries]
    return (text for each in sets for name in names for text in query_texts(segmenter, each, name, classes))


def shown_classes(labels: Labels, queries: Sequence[int]) -> list[int]:
    """The labels of the queries that an image shows."""
    return sorted(set(np.unique(labels).tolist()) & set(queries))


def present_names(labels: Labels, classes: Sequence[str]) -> list[str]:
    """The names of all classes that an image shows, including a background class."""
    return [classes[label] for label in np.unique(labels).tolist() if label < len(classes)]


def evaluate_single(
    segmenter: Segmenter,
    samples: Iterable[Sample],
    classes: Sequence[str],
    queries: Sequence[int],
    sets: Sequence[ContrastiveSet],
    embed: Embed,
    protocol: Protocol,
) -> list[SingleScores]:
    """Scores of each contrastive set, in one pass over the images.

    Each image is encoded once, each text is embedded once, and all texts are compared with an image in one product.
    Only the sums grow with the data set. queries: labels of the queries. Raises UserError if there are no images."""
    texts = embed_once(single_texts(segmenter, classes, queries, sets), embed)
    results = [SingleScores(each.name, tuple(classes)) for each in sets]
    for sample in encode_samples(segmenter, samples, protocol):
        score_image(segmenter, sample, classes, queries, sets, texts, results)
    if not any(result.images for result in results):
        raise UserError("IoU-single: found 0 images, expected at least one")
    return results


def score_image(
    segmenter: Segmenter,
    sample: EncodedSample,
    classes: Sequence[str],
    queries: Sequence[int],
    sets: Sequence[ContrastiveSet],
    texts: TextRows,
    results: Sequence[SingleScores],
) -> None:
    """Score all queries of one encoded image under all sets and add the scores to the results."""
    shown, present = shown_classes(sample.labels, queries), present_names(sample.labels, classes)
    asked = [[query_texts(segmenter, each, classes[label], present) for label in shown] for each in sets]
    needed = list(dict.fromkeys(text for of_set in asked for of_query in of_set for text in of_query))
    position = {text: index for index, text in enumerate(needed)}
    compared = similarities(segmenter, sample.encoded, texts.select(needed)) if needed else []
    # Different contrastive sets may give the same texts, which are then segmented once.
    maps: dict[tuple[tuple[str, ...], bool], Labels] = {}
    for each, result, of_set in zip(sets, results, asked, strict=True):
        result.start(sample.name)
        for label, texts_of_query in zip(shown, of_set, strict=True):
            key = (texts_of_query, each.original)
            if key not in maps:
                rows = [position[text] for text in texts_of_query]
                maps[key] = label_map(segmenter, sample.encoded, compared, rows, each.original).cpu().numpy()
            result.add_query(
                label, classes[label], texts_of_query, maps[key] - added_channels(segmenter, each), sample.labels
            )


def added_channels(segmenter: Segmenter, contrastive_set: ContrastiveSet) -> int:
    """Number of labels before that of text 0: 1 if the own background handling adds a channel, else 0."""
    return int(contrastive_set.original and segmenter.background_is == "channel")
