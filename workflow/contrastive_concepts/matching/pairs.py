"""Counting pairs of concepts: frequent ones in cells of their own, the others in a list that is sorted and merged."""

from math import isqrt
from typing import NamedTuple

import numpy as np

from contrastive_concepts.matching.chunks import trailing_zeros
from contrastive_concepts.matching.tables import I32, I64, U32, jit, part

FEW = 24
SECONDS, FIRSTS = (places.astype(np.uint8) for places in np.tril_indices(FEW, -1))


class Cells(NamedTuple):
    """A counter for each pair of frequent concepts. Concepts are ranked, the most frequent first.

    ranked (T,): the concept of each rank. rows (2 T,): for a rank a its first cell less a + 1, and its end: it has
    cells with ranks a + 1 ... end - 1, that of ranks a < b at rows[2 a] + b. counts: a counter a cell.
    """

    ranked: I32
    rows: I32
    counts: U32


def allot_cells(frequencies: I64, cells: int) -> Cells:
    """Give at most `cells` cells, fewer than 2^31, to the pairs that are likely to be met most often.

    By Zipf's law that is where rank times rank is small: a hyperbola, which takes in all pairs of a small vocabulary.
    """
    total = len(frequencies)
    places = np.arange(total, dtype=np.int64)

    def widths(reach: int) -> I64:
        """Of the rows that have a cell."""
        near = places[: isqrt(reach)]
        return np.clip(reach // (near + 1), near + 1, total) - near - 1

    low, high = 0, total * total
    while low < high:
        reach = (low + high + 1) // 2
        low, high = (reach, high) if int(widths(reach).sum()) <= cells else (low, reach - 1)
    row_widths = np.zeros(total, np.int64)
    row_widths[: isqrt(low)] = widths(low)
    ranked = np.argsort(-frequencies, kind="stable").astype(np.int32)
    rows = np.stack([np.cumsum(row_widths) - row_widths, 2 * places + 2 + row_widths], axis=1) - places[:, None] - 1
    return Cells(ranked, rows.astype(np.int32).ravel(), np.zeros(int(row_widths.sum()), np.uint32))


@jit
def count_lists(
    ends: I64, row: int, listed: I32, captions: I64, cells: Cells, waiting: I32, pairs: I64, size: int
) -> tuple[int, int, int]:
    """Count the ranks that each caption from `row` on lists, in `captions` (T,), and their pairs in `cells`.

    `ends` (rows,) and `listed` as `kernel.list_concepts` writes them. `waiting` (T or more,) is room for cells. `pairs`
    holds from `size` on those that have no cell. Returns the row before which it might have run full, how many pairs
    it holds then, and how many the next caption may have.
    """
    first = ends[row - 1] if row else np.int64(0)
    filled = 0
    for now in range(row, ends.shape[0]):
        found = ends[now] - first
        most = found * (found - 1) // 2
        if size + most > pairs.shape[0]:
            settle_cells(cells, waiting, filled)
            return now, size, most
        ranks = listed[first : ends[now]]
        for a in range(found):
            captions[np.uint64(ranks[np.uint64(a)])] += 1
        filled, size = count_pairs(found, ranks, cells, waiting, filled, pairs, size)
        first = ends[now]
    settle_cells(cells, waiting, filled)
    return ends.shape[0], size, 0


@part
def count_pairs(
    found: int, ranks: I32, cells: Cells, waiting: I32, filled: int, listed: I64, size: int
) -> tuple[int, int]:
    """Note in `waiting` the cell of each pair of a caption's concepts; those without a cell are listed from `size` on.

    A listed pair is a * T + b of ranks a < b. Returns how much of both is filled.
    """
    total = cells.ranked.shape[0]
    if found <= FEW:
        # The pairs of few concepts are the first ones of many: one loop, whose end is easier to foresee than two.
        amount = found * (found - 1) // 2
        if filled + amount > waiting.shape[0]:
            filled = settle_cells(cells, waiting, filled)
        for pair in range(amount):
            own, other = ranks[np.uint64(FIRSTS[pair])], ranks[np.uint64(SECONDS[pair])]
            filled, size = note_pair(own, other, total, cells, waiting, filled, listed, size)
        return filled, size
    for a in range(found - 1):
        if filled + found > waiting.shape[0]:
            filled = settle_cells(cells, waiting, filled)
        for b in range(a + 1, found):
            filled, size = note_pair(
                ranks[np.uint64(a)], ranks[np.uint64(b)], total, cells, waiting, filled, listed, size
            )
    return filled, size


@part
def note_pair(
    own: int, other: int, total: int, cells: Cells, waiting: I32, filled: int, listed: I64, size: int
) -> tuple[int, int]:
    """A branch would be foreseen wrongly as often as not, so that both places are written and one is kept."""
    low, high = min(own, other), max(own, other)
    inside = high < cells.rows[np.uint64(2 * low + 1)]
    waiting[np.uint64(filled)] = cells.rows[np.uint64(2 * low)] + high
    listed[np.uint64(size)] = np.int64(low) * total + np.int64(high)
    return filled + int(inside), size + int(not inside)


@part
def settle_cells(cells: Cells, waiting: I32, filled: int) -> int:
    """Count what waits, all at once: then memory is asked for many cells at a time. Returns 0, what then waits."""
    for k in range(filled):
        cells.counts[np.uint64(waiting[k])] += 1
    return 0


DIGITS = 1 << 11


def sort_keys(keys: I64, largest: int) -> I64:
    """Keys of 0 to `largest` in order, digit by digit from the lowest; may overwrite `keys`.

    A fifth of the time that numpy's sort takes for a million keys.
    """
    room, ends, step = np.empty_like(keys), np.empty(DIGITS, np.int64), 1
    while step <= largest:
        by_digit(keys, room, ends, step)
        keys, room, step = room, keys, step * DIGITS
    return keys


@jit
def by_digit(keys: I64, ordered: I64, ends: I64, step: int) -> None:
    """Write the keys in the order of one digit, equal ones as they come. ends (DIGITS,) is room."""
    shift = np.uint64(trailing_zeros(np.uint64(step)))  # type: ignore[call-arg]
    ends[:] = 0
    for k in range(keys.shape[0]):
        ends[np.uint64(keys[k]) >> shift & np.uint64(DIGITS - 1)] += 1
    at = np.int64(0)
    for digit in range(DIGITS):
        size = ends[digit]
        ends[digit] = at
        at += size
    for k in range(keys.shape[0]):
        digit = np.uint64(keys[k]) >> shift & np.uint64(DIGITS - 1)
        ordered[np.uint64(ends[digit])] = keys[k]
        ends[digit] += 1


@jit
def run_lengths(ordered: I64, keys: I64, counts: I64) -> int:
    """The distinct values (ascending, like the input) and how often each occurs; returns how many they are.

    `keys` may be `ordered` itself.
    """
    size = 0
    for at in range(ordered.shape[0]):
        if size and keys[size - 1] == ordered[at]:
            counts[size - 1] += 1
        else:
            keys[size] = ordered[at]
            counts[size] = 1
            size += 1
    return size


@jit
def merge_counts(keys_a: I64, counts_a: I64, keys_b: I64, counts_b: I64, keys: I64, counts: I64) -> int:
    """Merge two ascending lists of keys, adding the counts of equal ones; returns the length of the result."""
    a, b, size = 0, 0, 0
    while a < keys_a.shape[0] or b < keys_b.shape[0]:
        take_a = b == keys_b.shape[0] or (a < keys_a.shape[0] and keys_a[a] <= keys_b[b])
        take_b = a == keys_a.shape[0] or (b < keys_b.shape[0] and keys_b[b] <= keys_a[a])
        keys[size] = keys_a[a] if take_a else keys_b[b]
        counts[size] = (counts_a[a] if take_a else 0) + (counts_b[b] if take_b else 0)
        a += take_a
        b += take_b
        size += 1
    return size


def counted_pairs(cells: Cells, listed: I64, listed_counts: I64) -> tuple[I32, I32, I64]:
    """All pairs that were met, as concepts and counts, in no order: from the cells and the listed keys."""
    total = len(cells.ranked)
    filled = np.empty(np.count_nonzero(cells.counts) + 1, np.int32)
    filled = filled[: filled_cells(cells.counts, filled)]
    # Cells lie in the order of their rows.
    widths = np.diff(np.searchsorted(filled, cells.rows[::2] + np.arange(1, total + 1)), append=len(filled))
    low = np.repeat(np.arange(total), widths)
    high = filled - cells.rows[2 * low]
    return (
        cells.ranked[np.concatenate([low, listed // max(total, 1)])],
        cells.ranked[np.concatenate([high, listed % max(total, 1)])],
        np.concatenate([cells.counts[filled].astype(np.int64), listed_counts]),
    )


@jit
def filled_cells(counts: U32, filled: I32) -> int:
    """Write which counters are not 0, in order, to `filled`, longer by one than they are; returns how many."""
    size = 0
    for cell in range(counts.shape[0]):
        filled[np.uint64(size)] = cell
        size += int(counts[np.uint64(cell)] != 0)
    return size
