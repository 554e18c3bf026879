"""Finds the texts that can have the highest score at some pixel, from their scores at patches. The others need not be
resized."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

Window = tuple[int, int, int, int]
"""top, bottom, left, right"""
Size = tuple[int, int]
Indices = np.ndarray[Any, np.dtype[np.int64]]

TILE = 16
"""Side of a tile in pixels of the original image: about one patch under the paper's protocol."""
MARGIN = 1e-5
"""Share of the largest score that rounding can change."""
FEW = 4
"""With so few texts, resizing them all is faster than finding those that can win."""
AT_A_TIME = 1 << 24
"""Scores gathered at a time."""


def possible_winners(
    scores: Tensor, window_size: Size, windows: Sequence[Window], resized: Size, original: Size
) -> Tensor:
    """Ascending indices int64 [K] of the texts that can win: scores [n, C, h, w] -> subset of 0..C-1.

    A pixel's scores are a weighted mean of the scores at some patches, with the same weights for all texts. Within a
    tile of pixels, a text therefore loses to the tile's best text if it is worse at all patches that reach the tile."""
    count, texts = scores.shape[:2]
    if texts <= FEW or tuple(scores.shape[-2:]) == window_size:
        return torch.arange(texts, device=scores.device)
    patches = _patches_of_tiles(tuple(windows), window_size, (scores.shape[2], scores.shape[3]), resized, original)
    index = torch.from_numpy(patches).to(scores.device)
    flat = scores.transpose(0, 1).reshape(texts, count * scores.shape[2] * scores.shape[3])
    margin = MARGIN * scores.abs().amax()
    can_win = torch.zeros(texts, dtype=torch.bool, device=scores.device)
    step = max(AT_A_TIME // (texts * index.shape[1]), 1)
    for part in torch.split(index, step):
        gathered = flat[:, part]
        best = gathered.mean(dim=2).max(dim=0).indices
        of_best = gathered[best, torch.arange(len(part), device=best.device)]
        can_win |= (gathered >= of_best - margin).any(dim=2).any(dim=1)
    return can_win.nonzero()[:, 0]


@lru_cache(maxsize=64)
def _patches_of_tiles(
    windows: tuple[Window, ...], window_size: Size, grid: Size, resized: Size, original: Size
) -> Indices:
    """For each tile the patches that reach any of its pixels, int64 [tiles, p], numbered through all windows. Shorter
    rows repeat their last patch."""
    height, width = (_sources(original[axis], resized[axis]) for axis in (0, 1))
    tiles: list[list[Indices]] = [[] for _ in range(len(height) * len(width))]
    for number, (top, bottom, left, right) in enumerate(windows):
        rows = [_within(span, top, bottom, grid[0]) for span in height]
        columns = [_within(span, left, right, grid[1]) for span in width]
        for tile, found in enumerate(tiles):
            row, column = rows[tile // len(width)], columns[tile % len(width)]
            found.append(((number * grid[0] + row[:, None]) * grid[1] + column).ravel())
    joined = [np.concatenate(found) for found in tiles]
    longest = max(len(found) for found in joined)
    return np.stack([np.pad(found, (0, longest - len(found)), mode="edge") for found in joined])


def _sources(length: int, source: int) -> list[tuple[int, int]]:
    """For each tile of an axis the first and last pixel of the resized image that a bilinear resize reads."""
    spans = [(start, min(start + TILE, length) - 1) for start in range(0, length, TILE)]
    return [(_reads(first, length, source)[0], _reads(last, length, source)[1]) for first, last in spans]


def _within(span: tuple[int, int], start: int, stop: int, patches: int) -> Indices:
    """The patches of one axis of a window that a span of pixels of the resized image reads; none if it is outside."""
    first, last = max(span[0], start), min(span[1], stop - 1)
    if first > last:
        return np.empty(0, np.int64)
    size = stop - start
    low, high = _reads(first - start, size, patches)[0], _reads(last - start, size, patches)[1]
    return np.arange(low, high + 1)


def _reads(position: int, length: int, source: int) -> tuple[int, int]:
    """The two source pixels that a bilinear resize from `source` to `length` pixels reads at a position."""
    if length == source:
        return position, position
    # One more on each side, because the exact position is computed in float32.
    place = (position + 0.5) * source / length - 0.5
    return max(int(np.floor(place - 1e-3)), 0), min(int(np.floor(max(place, 0) + 1e-3)) + 1, source - 1)
