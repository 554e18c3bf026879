"""Classic mIoU as in mmsegmentation 0.27, and confidence intervals by bootstrap over images."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from contrastive_concepts.errors import UserError

Labels = np.ndarray[Any, np.dtype[Any]]
Counts = np.ndarray[Any, np.dtype[np.int64]]
Ratios = np.ndarray[Any, np.dtype[np.float64]]
IGNORED = 255


def reduce_zero_label(labels: Labels) -> Labels:
    """Shift uint8 labels: 0 -> 255 (ignored), 255 -> 255, all others are reduced by one."""
    labels = labels.astype(np.uint8)
    return np.where((labels == 0) | (labels == IGNORED), IGNORED, labels - 1).astype(np.uint8)


@dataclass
class Confusion:
    """Numbers of pixels per image and class: intersection, predicted, labelled; int64 [n, C] each."""

    classes: int

    def __post_init__(self) -> None:
        self._rows: list[tuple[Counts, Counts, Counts]] = []

    def add(self, predicted: Labels, labels: Labels) -> None:
        """Add one image, both arrays [H, W]. Pixels with label 255 are ignored. On a pixel with another label outside
        0..C-1, the prediction counts as a false positive."""
        kept = labels != IGNORED
        predicted, labels = predicted[kept], labels[kept]
        both = predicted[predicted == labels]
        self._rows.append(tuple(self._histogram(part) for part in (both, predicted, labels)))  # type: ignore[arg-type]

    def _histogram(self, values: Labels) -> Counts:
        values = values[(values >= 0) & (values < self.classes)]
        return np.bincount(values.astype(np.int64).ravel(), minlength=self.classes).astype(np.int64)

    @property
    def intersection(self) -> Counts:
        return self._stack(0)

    @property
    def predicted(self) -> Counts:
        return self._stack(1)

    @property
    def labelled(self) -> Counts:
        return self._stack(2)

    @property
    def union(self) -> Counts:
        """Number of pixels in the union, int64 [n, C]."""
        return self.predicted + self.labelled - self.intersection

    def _stack(self, part: int) -> Counts:
        return np.array([row[part] for row in self._rows], np.int64).reshape(-1, self.classes)

    def iou(self) -> Ratios:
        """IoU of each class, float64 [C] in 0..1; NaN for a class that is neither labelled nor predicted."""
        return ratio(self.intersection.sum(0), self.union.sum(0))

    def accuracy(self) -> Ratios:
        """Share of each class's pixels that are predicted correctly, float64 [C]."""
        return ratio(self.intersection.sum(0), self.labelled.sum(0))

    def pixel_accuracy(self) -> float:
        """aAcc: share of all labelled pixels that are predicted correctly."""
        return float(ratio(self.intersection.sum()[None], self.labelled.sum()[None])[0])

    def miou(self) -> float:
        """Mean IoU over the classes that occur, in 0..1."""
        return mean(self.iou())


def ratio(part: Counts, whole: Counts) -> Ratios:
    """part / whole; NaN where whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0))


def mean(values: Ratios) -> float:
    """Mean of the values that are not NaN; NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def class_image_mean(by_image: Ratios) -> float:
    """[n, C] -> mean over classes of the mean over the images that have a value; NaN if there are none."""
    shown = (~np.isnan(by_image)).sum(0)
    sums = np.nansum(by_image, axis=0)
    return mean(np.divide(sums, shown, out=np.full(len(shown), np.nan), where=shown > 0))


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % percentile interval."""

    value: float
    low: float
    high: float


def class_mean(intersection: Counts, union: Counts) -> Ratios:
    """Sums over images [..., C] -> mean IoU over the classes that occur, [...]; NaN if none does."""
    occurs = union > 0
    ious = np.divide(intersection, union, out=np.zeros(np.shape(union)), where=occurs)
    count = occurs.sum(axis=-1)
    return np.asarray(np.divide(ious.sum(axis=-1), count, out=np.full(np.shape(count), np.nan), where=count > 0))


def bootstrap(intersection: Counts, union: Counts, draws: int = 1000, seed: int = 0) -> Interval:
    """Interval of the mean IoU from the numbers of pixels per image, both int64 [n, C]."""
    totals = resampled([intersection, union], draws, seed)
    samples = class_mean(totals[0], totals[1])
    return interval(float(class_mean(intersection.sum(0), union.sum(0))), samples)


def paired_bootstrap(
    first: tuple[Counts, Counts], second: tuple[Counts, Counts], draws: int = 1000, seed: int = 0
) -> Interval:
    """Interval of first - second: intersections and unions [n, C] of the same images in the same order."""
    if first[0].shape != second[0].shape:
        raise UserError(f"paired bootstrap: found {first[0].shape} and {second[0].shape}, expected the same images")
    totals = resampled([*first, *second], draws, seed)
    samples = class_mean(totals[0], totals[1]) - class_mean(totals[2], totals[3])
    values = [class_mean(inter.sum(0), union.sum(0)) for inter, union in (first, second)]
    return interval(float(values[0] - values[1]), samples)


def resampled(sums: list[Counts], draws: int, seed: int = 0) -> list[Counts]:
    """Totals over images drawn with replacement, int64 [draws, C] each. A draw is a row of multinomial weights."""
    weights = drawn_weights(len(sums[0]), draws, seed)
    return [weighted_totals(weights, each) for each in sums]


def weighted_totals(weights: Counts, sums: Counts) -> Counts:
    """The product of int64 [draws, n] and [n, C], by BLAS, which has no integers: exact while totals are below 2^53."""
    if len(sums) * int(weights.max(initial=0)) * int(sums.max(initial=0)) >= 1 << 53:
        return weights @ sums
    return (weights.astype(np.float64) @ sums.astype(np.float64)).astype(np.int64)


@lru_cache(maxsize=2)
def drawn_weights(images: int, draws: int, seed: int = 0) -> Counts:
    """How often each image is drawn in each bootstrap, int64 [draws, n], read-only: all metrics share one draw."""
    if images == 0:
        raise UserError("bootstrap: found 0 images, expected at least one")
    weights = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=draws)
    weights.setflags(write=False)
    return weights


def interval(value: float, samples: Ratios) -> Interval:
    """A value with the interval of its bootstraps."""
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return Interval(value, float(low), float(high))
