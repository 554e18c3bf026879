"""Histogram of the number of contrastive concepts per concept of a dictionary."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

MOST_BARS = 40


def list_lengths(concepts: pl.DataFrame, kept: pl.DataFrame) -> list[int]:
    """|CC| of every concept, 0 included (`concepts.parquet`, `contrastive_concepts.parquet`)."""
    counted = kept.group_by("concept").len()
    joined = concepts.select("concept").join(counted, on="concept", how="left", maintain_order="left")
    return [int(length) for length in joined["len"].fill_null(0)]


def draw_lengths(lengths: Sequence[int], path: Path) -> None:
    """Write the histogram, with the mean and the median in its title."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3), layout="constrained")
    longest = max(lengths, default=0)
    width = longest // MOST_BARS + 1
    axes.hist(lengths, bins=range(0, longest + width + 1, width), color="0.6")
    axes.set(xlabel="contrastive concepts of a concept, |CC|", ylabel="concepts")
    axes.set_title(f"mean {np.mean(lengths):.1f}, median {np.median(lengths):.0f}, none: {list(lengths).count(0)}")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
