"""How good masks on a patch grid can be at all: the best IoU when every cell is wholly in or wholly out."""

from collections.abc import Iterable, Sequence

import numpy as np

from contrastive_concepts.evaluation.confusion import IGNORED, Labels, Ratios


def grid_bound(label_maps: Iterable[Labels], classes: int, queries: Sequence[int], grid: tuple[int, int]) -> Ratios:
    """Highest IoU over the data set for each class, float64 [C]; NaN where it is no query or never occurs.

    label_maps: [H, W] each, 255 ignored; only images that show a class count for it, as in IoU-single. Scores enlarged
    smoothly may cut through cells, so a segmenter is not strictly held to it."""
    cells: dict[int, list[tuple[Labels, Labels]]] = {label: [] for label in queries}
    for labels in label_maps:
        cell = _cells(labels.shape, grid)
        kept = np.bincount(cell[labels != IGNORED], minlength=grid[0] * grid[1])
        for label in set(np.unique(labels).tolist()) & set(queries):
            cells[label].append((np.bincount(cell[labels == label], minlength=grid[0] * grid[1]), kept))
    bounds = np.full(classes, np.nan)
    for label, found in cells.items():
        if found:
            inside, kept = (np.concatenate([pair[k] for pair in found]) for k in (0, 1))
            bounds[label] = _best(inside, kept)
    return bounds


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
