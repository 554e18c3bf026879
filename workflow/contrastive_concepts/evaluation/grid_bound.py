"""How good masks on a patch grid can be at all: the best IoU when every cell is wholly in or wholly out."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.confusion import IGNORED, Labels, Ratios
from contrastive_concepts.evaluation.protocol import EncodedImage

Grid = tuple[int, int]


class GridBound:
    """Collects images one at a time; `iou` is the bound over all of them."""

    def __init__(self, classes: int, queries: Sequence[int]) -> None:
        self._classes = classes
        self._cells: dict[int, list[tuple[Labels, Labels]]] = {label: [] for label in queries}

    def add(self, labels: Labels, grid: Grid) -> None:
        """One image: labels [H, W], 255 ignored, under a grid of so many rows and columns."""
        cell, size = _cells(labels.shape, grid), grid[0] * grid[1]
        kept = np.bincount(cell[labels != IGNORED], minlength=size)
        for label in set(np.unique(labels).tolist()) & set(self._cells):
            self._cells[label].append((np.bincount(cell[labels == label], minlength=size), kept))

    def require_any(self, root: Path | str, images: int) -> None:
        """Raises UserError where no image of the data set below `root` shows any of the queries."""
        if not any(self._cells.values()):
            raise UserError(
                f"{root}: found none of the {len(self._cells)} queried classes in any of {images} images, expected "
                "masks that show some (is the class list that of these masks?)"
            )

    def iou(self) -> Ratios:
        """Highest IoU over the data set for each class, float64 [C]; NaN where it is no query or never occurs."""
        bounds = np.full(self._classes, np.nan)
        for label, found in self._cells.items():
            if found:
                inside, kept = (np.concatenate([pair[k] for pair in found]) for k in (0, 1))
                bounds[label] = _best(inside, kept)
        return bounds


def grid_bound(label_maps: Iterable[Labels], classes: int, queries: Sequence[int], grid: Grid) -> Ratios:
    """The bound of label maps [H, W] under one grid; only images that show a class count for it, as in IoU-single.

    Scores enlarged smoothly may cut through cells, so a segmenter is not strictly held to it."""
    bound = GridBound(classes, queries)
    for labels in label_maps:
        bound.add(labels, grid)
    return bound.iou()


def grid_of(encoded: EncodedImage) -> Grid:
    """Rows and columns of the patches that an encoded image consists of."""
    features = encoded.features[0]
    cells = (features.dense.shape[-2] / features.size[0], features.dense.shape[-1] / features.size[1])
    rows, columns = (max(round(side * share), 1) for side, share in zip(encoded.resized, cells, strict=True))
    return rows, columns


def _best(inside: Labels, kept: Labels) -> float:
    # A ratio of sums is largest when cells are taken in the order of their purity; some prefix is the best choice.
    taken = kept > 0
    inside, kept = inside[taken], kept[taken]
    order = np.argsort(-inside / kept, kind="stable")
    hits, extra = np.cumsum(inside[order]), np.cumsum((kept - inside)[order])
    return float((hits / (inside.sum() + extra)).max())


def _cells(shape: tuple[int, ...], grid: tuple[int, int]) -> Labels:
    rows = np.arange(shape[0]) * grid[0] // shape[0]
    columns = np.arange(shape[1]) * grid[1] // shape[1]
    return rows[:, None] * grid[1] + columns[None]
