"""Effect of gamma and delta on |CC| in the mined tables, and on IoU-single if the benchmark sweeps them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from contrastive_concepts.selection.select import Tables, Thresholds, select

GRID: Mapping[str, Sequence[float]] = {
    "gamma": (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2),
    "delta": (0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0),
}


def mean_lengths(tables: Tables, thresholds: Thresholds) -> pl.DataFrame:
    """threshold, value, mean |CC| of the concepts that captions mention. The other thresholds stay as given."""
    named = tables.concepts.filter(pl.col("count") > 0)["concept"].to_list()
    rows = []
    for threshold, values in GRID.items():
        for value in sorted({*values, getattr(thresholds, threshold)}):
            lists = select(tables, replace(thresholds, **{threshold: value})).lists
            rows.append((threshold, value, float(np.mean([len(lists[name]) for name in named] or [0]))))
    return pl.DataFrame(rows, {"threshold": pl.String, "value": pl.Float64, "mean_cc": pl.Float64}, orient="row")


def draw_thresholds(lengths: pl.DataFrame, sweeps: pl.DataFrame, used: Mapping[str, float], path: Path) -> None:
    """Write one panel per threshold: |CC| in grey, below it the benchmark's sweeps, and the run's value as dashed line.

    lengths: result of `mean_lengths`. sweeps: table of the benchmark's results, may be empty."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    swept = [name for name in ("gamma", "delta", "beta") if name in set(sweeps["threshold"])]
    names = list(dict.fromkeys([*GRID, *swept]))
    rows = 2 if swept else 1
    figure, grid = pyplot.subplots(
        rows, len(names), figsize=(3.6 * len(names), 2.8 * rows), layout="constrained", squeeze=False
    )
    for column, name in enumerate(names):
        own = lengths.filter(pl.col("threshold") == name).sort("value")
        grid[0, column].plot(own["value"], own["mean_cc"], color="0.4", marker="o", markersize=3)
        grid[0, column].set(xlabel=name, ylabel="mean |CC|")
        grid[0, column].set_visible(name in GRID)
        for row in range(rows):
            grid[row, column].set_xscale("log" if name == "gamma" else "linear")
            grid[row, column].axvline(used[name], color="0.8", linestyle="dashed", zorder=0)
        if not swept:
            continue
        places = ["segmenter", "backbone", "dataset", "set", "metric"]
        for place, points in sweeps.filter(pl.col("threshold") == name).group_by(places, maintain_order=True):
            points = points.sort("step")
            label = ", ".join(str(part) for part in place)
            grid[1, column].plot(points["step"], points["value"], marker="o", markersize=3, label=label)
        grid[1, column].set(xlabel=name, ylabel="IoU, percent")
        grid[1, column].set_visible(name in swept)
        if name in swept:
            grid[1, column].legend(fontsize=5, frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
