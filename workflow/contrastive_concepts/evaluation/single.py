"""IoU-single (paper 4.1, 6.1.2): each class that an image shows is a single query."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from contrastive_concepts.config.selection import BACKGROUND
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet
from contrastive_concepts.evaluation.metrics import IGNORED, Counts, Labels, Ratios, class_image_mean, mean, ratio
from contrastive_concepts.segmenters.segmenter import Segmenter


class SingleQuery(NamedTuple):
    """The texts of one query: its own names at the rows `own`, and its contrastive concepts.

    boost: added to the cosine of "background" if that is one of the contrastive concepts."""

    texts: tuple[str, ...]
    own: range
    boost: float = 0.0

    @property
    def classes(self) -> tuple[int, ...]:
        """The class of each text: 1 for the query's own names, 0 for the others."""
        return tuple(int(row in self.own) for row in range(len(self.texts)))

    @property
    def boosts(self) -> tuple[float, ...]:
        """The number that is added to the cosine of each text."""
        return boosts_of(self.texts, self.boost)


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

    def add_query(self, label: int, query: str, asked: SingleQuery, found: Labels, labels: Labels) -> None:
        """Add a query of the image that was started last. found: [H, W], indices of its texts, or -1 for none."""
        kinds = (labels != IGNORED).astype(np.int64) + (labels == label)
        pixels = np.bincount(((found + 1) * 3 + kinds).ravel(), minlength=3 * len(asked.texts) + 3).reshape(-1, 3)
        self.add_tally(label, query, asked, pixels[1:], int(pixels[0, 2]))

    def add_tally(self, label: int, query: str, asked: SingleQuery, pixels: Counts, none: int) -> None:
        """Add a query of the image that was started last, from the numbers of pixels of `scoring.Tally`."""
        intersection, union = of_tally(pixels, asked.own, none)
        self._intersection[-1][label] += intersection
        self._union[-1][label] += union
        taken = {text: int(count.sum()) for text, count in taken_by(asked, pixels).items()}
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


def of_tally(pixels: Counts, own: range, none: int) -> tuple[int, int]:
    """Intersection and union of a query. pixels, none: see `scoring.Tally`. own: rows of the query's own names."""
    of_query = pixels[own.start : own.stop]
    return int(of_query[:, 2].sum()), int(of_query[:, 1].sum() + pixels[:, 2].sum() + none)


def taken_by(asked: SingleQuery, pixels: Counts) -> dict[str, Counts]:
    """The numbers of pixels that each contrastive text took, if it took any: int64 [2], of other classes and of the
    queried one, without ignored ones."""
    taken: dict[str, Counts] = {}
    for row in np.flatnonzero(pixels[:, 1:].any(axis=1)).tolist():
        if row not in asked.own:
            text = asked.texts[row]
            taken[text] = taken.get(text, 0) + pixels[row, 1:]
    return taken


def single_query(
    segmenter: Segmenter, contrastive_set: ContrastiveSet, query: str, present: Sequence[str]
) -> SingleQuery:
    """Texts of one query. Its own are first, unless the background handling needs "background" first, or the set is
    verbatim."""
    own, negatives = contrastive_set.names_of(query), contrastive_set.negatives(query, present)
    lead: tuple[str, ...] = negatives if contrastive_set.verbatim else ()
    if contrastive_set.original and segmenter.background_is == "text":
        lead = (BACKGROUND, *(text for text in lead if text != BACKGROUND))
    rest = () if contrastive_set.verbatim else (text for text in negatives if text not in lead)
    boost = contrastive_set.boost if BACKGROUND in negatives else 0.0
    return SingleQuery((*lead, *own, *rest), range(len(lead), len(lead) + len(own)), boost)


def boosts_of(texts: Sequence[str], boost: float) -> tuple[float, ...]:
    """The number that is added to the cosine of each text: `boost` for "background"."""
    return tuple(boost if text == BACKGROUND else 0.0 for text in texts)


def single_texts(
    segmenter: Segmenter, classes: Sequence[str], queries: Sequence[int], sets: Sequence[ContrastiveSet]
) -> Iterator[str]:
    """All texts that any query of any image can need."""
    names = [classes[label] for label in queries]
    return (text for each in sets for name in names for text in single_query(segmenter, each, name, classes).texts)


def labels_in(labels: Labels) -> list[int]:
    """The distinct labels of an image, ascending."""
    # `np.unique` sorts all pixels, which takes ten times as long.
    seen = np.zeros(IGNORED + 1, bool)
    seen[labels] = True
    return np.flatnonzero(seen).tolist()


def shown_classes(found: Sequence[int], queries: Sequence[int]) -> list[int]:
    """Of an image's labels, those of the queries."""
    return sorted(set(found) & set(queries))


def present_names(found: Sequence[int], classes: Sequence[str]) -> list[str]:
    """The names of all classes among an image's labels, including a background class."""
    return [classes[label] for label in found if label < len(classes)]


def added_channels(segmenter: Segmenter, contrastive_set: ContrastiveSet) -> int:
    """Number of labels before that of text 0: 1 if the own background handling adds a channel, else 0."""
    return int(contrastive_set.original and segmenter.background_is == "channel")
