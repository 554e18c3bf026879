"""Numbers of pixels of all experiments on one data set: intersections and unions by image and class, as tables."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from contrastive_concepts.evaluation.grid_bound import CELLS
from contrastive_concepts.evaluation.metrics import Counts

COUNTS: dict[str, type[pl.DataType]] = {
    "experiment": pl.String,
    "metric": pl.String,
    "image": pl.String,
    "class": pl.Int32,
    "intersection": pl.Int64,
    "union": pl.Int64,
}
TAKEN: dict[str, type[pl.DataType]] = {
    "experiment": pl.String,
    "query": pl.String,
    "concept": pl.String,
    "pixels": pl.Int64,
    "own": pl.Int64,
}
TABLES: dict[str, dict[str, type[pl.DataType]]] = {
    "images": {"image": pl.String},
    "counts": COUNTS,
    "taken": TAKEN,
    "cells": CELLS,
}


@dataclass(frozen=True)
class PixelCounts:
    """What one pass over images gives.

    images: their names, in order. counts: a row for each experiment, metric, image and class whose union is not empty.
    taken: the number of pixels that each contrastive text took from each query under IoU-single, and how many of them
    are of the queried class. cells: a table of `GridBound`."""

    images: pl.DataFrame
    counts: pl.DataFrame
    taken: pl.DataFrame
    cells: pl.DataFrame

    def save(self, folder: Path) -> None:
        """Write one file for each table. Each appears when it is complete."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in TABLES:
            unfinished = folder / f"{name}.unfinished"
            getattr(self, name).write_parquet(unfinished)
            os.replace(unfinished, folder / f"{name}.parquet")

    @classmethod
    def load(cls, folder: Path) -> "PixelCounts":
        return cls(**{name: pl.read_parquet(folder / f"{name}.parquet") for name in TABLES})

    @classmethod
    def of_parts(cls, parts: Sequence["PixelCounts"]) -> "PixelCounts":
        """Join the tables of successive parts of a data set."""
        images, counts, taken, cells = (
            pl.concat([pl.DataFrame(schema=schema), *(getattr(part, name) for part in parts)])
            for name, schema in TABLES.items()
        )
        by_text, by_cell = (
            [name for name in TAKEN if name not in ("pixels", "own")],
            [name for name in CELLS if name != "cells"],
        )
        return cls(
            images,
            counts,
            taken.group_by(by_text, maintain_order=True).agg(pl.col("pixels", "own").sum()),
            cells.group_by(by_cell, maintain_order=True).agg(pl.col("cells").sum()),
        )

    def with_experiments(self, others: "PixelCounts") -> "PixelCounts":
        """Add the experiments of another pass over the same images."""
        return PixelCounts(
            self.images, pl.concat([self.counts, others.counts]), pl.concat([self.taken, others.taken]), self.cells
        )

    def only(self, experiments: Collection[str]) -> "PixelCounts":
        """Leave out all other experiments."""
        stays = pl.col("experiment").is_in(list(experiments))
        return PixelCounts(self.images, self.counts.filter(stays), self.taken.filter(stays), self.cells)


def dense_counts(table: pl.DataFrame, images: Sequence[str], classes: int) -> tuple[Counts, Counts]:
    """Convert the rows of one experiment and metric to intersections and unions, int64 [n, C], over all images."""
    position = {image: row for row, image in enumerate(images)}
    rows = np.array([position[image] for image in table["image"]], np.int64)
    columns = table["class"].to_numpy()
    result = []
    for name in ("intersection", "union"):
        dense = np.zeros((len(images), classes), np.int64)
        dense[rows, columns] = table[name].to_numpy()
        result.append(dense)
    return result[0], result[1]
