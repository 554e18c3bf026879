"""Image bootstrap: how far a score, or the difference of two, could be off by the choice of images."""

from dataclasses import dataclass

import numpy as np

from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.confusion import Counts, Ratios


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % percentile interval."""

    value: float
    low: float
    high: float


def class_mean(intersection: Counts, union: Counts) -> Ratios:
    """Sums over images [..., C] -> mean IoU over the classes that occur, [...]; NaN where none does."""
    occurs = union > 0
    ious = np.divide(intersection, union, out=np.zeros(np.shape(union)), where=occurs)
    count = occurs.sum(axis=-1)
    return np.asarray(np.divide(ious.sum(axis=-1), count, out=np.full(np.shape(count), np.nan), where=count > 0))


def bootstrap(intersection: Counts, union: Counts, draws: int = 1000, seed: int = 0) -> Interval:
    """Interval of the mean IoU from per-image sums, int64 [n, C] both."""
    totals = _resampled([intersection, union], draws, seed)
    samples = class_mean(totals[0], totals[1])
    return _interval(float(class_mean(intersection.sum(0), union.sum(0))), samples)


def paired_bootstrap(
    first: tuple[Counts, Counts], second: tuple[Counts, Counts], draws: int = 1000, seed: int = 0
) -> Interval:
    """Interval of (first - second): intersections and unions [n, C] of the same images in the same order."""
    if first[0].shape != second[0].shape:
        raise UserError(f"paired bootstrap: found {first[0].shape} and {second[0].shape}, expected the same images")
    totals = _resampled([*first, *second], draws, seed)
    samples = class_mean(totals[0], totals[1]) - class_mean(totals[2], totals[3])
    values = [class_mean(inter.sum(0), union.sum(0)) for inter, union in (first, second)]
    return _interval(float(values[0] - values[1]), samples)


def _resampled(sums: list[Counts], draws: int, seed: int) -> list[Counts]:
    """Totals over images drawn with replacement, [draws, C] each; the draw is a row of multinomial weights."""
    images = len(sums[0])
    if images == 0:
        raise UserError("bootstrap: found 0 images, expected at least one")
    weights = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=draws)
    return [weights @ each for each in sums]


def _interval(value: float, samples: Ratios) -> Interval:
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return Interval(value, float(low), float(high))
