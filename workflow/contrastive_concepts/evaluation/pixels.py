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
    are of the queried class. cells: a table of `GridBound`. presence: a row for each experiment, image and single
    query, see `presence.PRESENCE`; None if no absent queries were asked."""

    images: pl.DataFrame
    counts: pl.DataFrame
    taken: pl.DataFrame
    cells: pl.DataFrame
    presence: pl.DataFrame | None = None

    def save(self, folder: Path) -> None:
        """Write one file for each table. Each appears when it is complete."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.presence is None:
            # Of an earlier pass with absent queries.
            (folder / "presence.parquet").unlink(missing_ok=True)
        for name in self._names():
            unfinished = folder / f"{name}.unfinished"
            getattr(self, name).write_parquet(unfinished)
            os.replace(unfinished, folder / f"{name}.parquet")

    def _names(self) -> list[str]:
        return [*TABLES, *(["presence"] if self.presence is not None else [])]

    @classmethod
    def load(cls, folder: Path, presence: bool = False) -> "PixelCounts":
        """Read what `save` wrote. presence: with the table of absent queries, which is left out otherwise."""
        names = [*TABLES, *(["presence"] if presence else [])]
        return cls(**{name: pl.read_parquet(folder / f"{name}.parquet") for name in names})

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
            _joined([part.presence for part in parts]),
        )

    def with_experiments(self, others: "PixelCounts") -> "PixelCounts":
        """Add the experiments of another pass over the same images."""
        return PixelCounts(
            self.images,
            pl.concat([self.counts, others.counts]),
            pl.concat([self.taken, others.taken]),
            self.cells,
            _joined([self.presence, others.presence]),
        )

    def only(self, experiments: Collection[str]) -> "PixelCounts":
        """Leave out all other experiments."""
        stays = pl.col("experiment").is_in(list(experiments))
        presence = None if self.presence is None else self.presence.filter(stays)
        return PixelCounts(self.images, self.counts.filter(stays), self.taken.filter(stays), self.cells, presence)


def _joined(tables: Sequence[pl.DataFrame | None]) -> pl.DataFrame | None:
    """Either all passes asked for absent queries or none did."""
    known = [table for table in tables if table is not None]
    assert len(known) in (0, len(tables))
    return pl.concat(known) if known else None


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
