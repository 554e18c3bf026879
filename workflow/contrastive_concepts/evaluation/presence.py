"""What masks and margins of absent queries tell: pixels wrongly claimed, masks that should be empty, presence."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from contrastive_concepts.evaluation.metrics import Counts, Interval, Ratios, drawn_weights, interval

SHOWN = "shown"
PRESENCE: dict[str, type[pl.DataType]] = {
    "experiment": pl.String,
    "image": pl.String,
    "absent": pl.String,
    "class": pl.Int32,
    "claimed": pl.Int64,
    "pixels": pl.Int64,
    "margin": pl.Float32,
}
"""One single query of one image. absent: "shown", or how an absent query was chosen. claimed: pixels of its mask;
pixels: those of the image; both without ignored ones. margin: see `protocol.best_margins`."""
METRICS = ("claimed", "non-empty", "presence")
AT_A_TIME = 1 << 22
"""Weights of queries in memory at a time."""


class Measured(NamedTuple):
    """A metric in 0..1, and its values in the bootstraps over images, [draws]."""

    value: float
    samples: Ratios

    @property
    def interval(self) -> Interval:
        return interval(self.value, self.samples)

    def minus(self, other: "Measured") -> Interval:
        """Interval of the paired difference; both have the same images and draws."""
        return interval(self.value - other.value, self.samples - other.samples)


def measure(
    answers: pl.DataFrame, kind: str, images: Sequence[str], min_area: float, draws: int = 1000
) -> dict[str, Measured]:
    """The metrics of one kind of absent queries; empty if there are none. answers: rows of one experiment, `PRESENCE`.

    claimed: mean share of the pixels that a query's mask covers. non-empty: share of the queries whose mask covers more
    than `min_area`. presence: area under the ROC curve that tells shown from absent queries by their margin."""
    absent, shown = (answers.filter(pl.col("absent") == name) for name in (kind, SHOWN))
    if absent.is_empty():
        return {}
    # The first row weighs all images alike.
    weights = np.vstack([np.ones((1, len(images)), np.int64), drawn_weights(len(images), draws)])
    rows = {image: row for row, image in enumerate(images)}
    of_absent, of_shown = (np.array([rows[name] for name in table["image"]], np.int64) for table in (absent, shown))
    share = absent["claimed"].to_numpy() / absent["pixels"].to_numpy()
    found = (
        weighted_mean(share, of_absent, weights),
        weighted_mean(share > min_area, of_absent, weights),
        weighted_auc(shown["margin"].to_numpy(), absent["margin"].to_numpy(), of_shown, of_absent, weights),
    )
    return {name: Measured(float(values[0]), values[1:]) for name, values in zip(METRICS, found, strict=True)}


def weighted_mean(values: Ratios, images: Counts, weights: Counts) -> Ratios:
    """Mean of values [m] of images [m] under each row of weights of images [k, n]; NaN where no value has a weight."""
    sums, counts = (weights @ np.bincount(images, each, weights.shape[1]) for each in (values, np.ones(len(values))))
    return np.asarray(np.divide(sums, counts, out=np.full(len(weights), np.nan), where=counts > 0))


def weighted_auc(shown: Ratios, absent: Ratios, of_shown: Counts, of_absent: Counts, weights: Counts) -> Ratios:
    """Probability that a shown query has a higher margin than an absent one, where ties count half (Mann-Whitney).

    of_shown, of_absent: each query's image. weights: of images, [k, n]. Returns [k]; NaN where one side is empty."""
    margins = np.concatenate([shown, absent])
    order = np.argsort(margins, kind="stable")
    images, is_shown = np.concatenate([of_shown, of_absent])[order], order < len(shown)
    ties = np.flatnonzero(np.diff(margins[order], prepend=-np.inf) != 0)
    result = np.full(len(weights), np.nan)
    step = max(AT_A_TIME // len(margins), 1)
    for first in range(0, len(weights), step):
        of_query = weights[first : first + step, images].astype(np.float64)
        higher, lower = (np.add.reduceat(of_query * kept, ties, axis=1) for kept in (is_shown, ~is_shown))
        won = (higher * (lower.cumsum(axis=1) - lower / 2)).sum(axis=1)
        pairs = higher.sum(axis=1) * lower.sum(axis=1)
        part = result[first : first + step]
        np.divide(won, pairs, out=part, where=pairs > 0)
    return result
