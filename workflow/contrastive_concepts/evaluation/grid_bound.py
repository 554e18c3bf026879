"""Bounds the IoU that a grid of patches allows."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.metrics import IGNORED, Counts, Labels, Ratios

if TYPE_CHECKING:
    from contrastive_concepts.evaluation.protocol import EncodedImage

Grid = tuple[int, int]
CELLS: dict[str, type[pl.DataType]] = {"class": pl.Int32, "inside": pl.Int64, "kept": pl.Int64, "cells": pl.Int64}


class GridBound:
    """Collects images one at a time. `iou` gives the bound over all of them.

    Cells of the grid with the same numbers of pixels are counted together, so that memory grows slowly with the data
    set."""

    def __init__(self, classes: int, queries: Sequence[int]) -> None:
        self._classes = classes
        self._cells: dict[int, list[tuple[Counts, Counts]]] = {label: [] for label in queries}

    def add(self, labels: Labels, grid: Grid) -> None:
        """Add one image. labels: [H, W], 255 = ignored. grid: number of rows and columns."""
        cell, size = _cells(labels.shape, grid), grid[0] * grid[1]
        values = IGNORED + 1
        pixels = np.bincount((cell * values + labels).ravel(), minlength=size * values).reshape(size, values)
        kept = pixels[:, :IGNORED].sum(axis=1)
        for label in set(np.flatnonzero(pixels.sum(axis=0)).tolist()) & set(self._cells):
            self._cells[label].append((pixels[:, label], kept))

    def table(self) -> pl.DataFrame:
        """All images as a table: for each class the pairs (pixels of the class, pixels not ignored) of a cell, and the
        number of cells that have them. Tables of several parts of a data set can be put below each other."""
        cells = [(label, inside, kept) for label, found in self._cells.items() for inside, kept in found]
        if not cells:
            return pl.DataFrame(schema=CELLS)
        columns = {
            "class": np.repeat([label for label, *_ in cells], [len(kept) for *_, kept in cells]),
            "inside": np.concatenate([inside for _, inside, _ in cells]),
            "kept": np.concatenate([kept for *_, kept in cells]),
        }
        return (
            pl.DataFrame(columns)
            .filter(pl.col("kept") > 0)
            .group_by("class", "inside", "kept")
            .agg(cells=pl.len())
            .sort("class", "inside", "kept")
            .cast(CELLS)  # type: ignore[arg-type]
        )

    def iou(self) -> Ratios:
        """Highest possible IoU of each class over the data set, float64 [C]; NaN if it is no query or never occurs."""
        return bound_of(self.table(), self._classes)


def bound_of(cells: pl.DataFrame, classes: int) -> Ratios:
    """Highest possible IoU of each class from tables of `GridBound`, float64 [C]; NaN for a class without cells."""
    bounds = np.full(classes, np.nan)
    for (label,), own in cells.group_by("class", maintain_order=True):
        bounds[int(str(label))] = _best(*(own[name].to_numpy() for name in ("inside", "kept", "cells")))
    return bounds


def require_any(cells: pl.DataFrame, root: object, queries: int, images: int) -> None:
    """Raises UserError if no image of the data set below `root` shows any of the queries."""
    if cells.is_empty():
        raise UserError(
            f"{root}: found none of the {queries} queried classes in any of {images} images, expected "
            "masks that show some (is the class list that of these masks?)"
        )


def grid_bound(label_maps: Iterable[Labels], classes: int, queries: Sequence[int], grid: Grid) -> Ratios:
    """The bound for label maps [H, W] and one grid. As in IoU-single, a class counts only the images that show it.

    A segmenter can exceed the bound slightly, because interpolated scores can divide a cell of the grid."""
    bound = GridBound(classes, queries)
    for labels in label_maps:
        bound.add(labels, grid)
    return bound.iou()


def grid_of(encoded: "EncodedImage") -> Grid:
    """Number of rows and columns of patches in an encoded image."""
    features = encoded.features
    cells = (features.dense.shape[-2] / features.size[0], features.dense.shape[-1] / features.size[1])
    rows, columns = (max(round(side * share), 1) for side, share in zip(encoded.resized, cells, strict=True))
    return rows, columns


def _best(inside: Counts, kept: Counts, cells: Counts) -> float:
    # The best choice of cells is a prefix of the cells in descending order of the share of the class.
    order = np.argsort(-inside / kept, kind="stable")
    hits = np.cumsum((inside * cells)[order])
    extra = np.cumsum(((kept - inside) * cells)[order])
    return float((hits / (hits[-1] + extra)).max())


def _cells(shape: tuple[int, ...], grid: tuple[int, int]) -> Labels:
    rows = np.arange(shape[0]) * grid[0] // shape[0]
    columns = np.arange(shape[1]) * grid[1] // shape[1]
    return rows[:, None] * grid[1] + columns[None]
