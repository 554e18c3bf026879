"""Counting pairs of concepts: frequent ones in cells of their own, the others in a list that is sorted and merged."""

from typing import NamedTuple

import numpy as np

from contrastive_concepts.matching.tables import I32, I64, U32, jit, part


class Cells(NamedTuple):
    """A counter for each pair of frequent concepts. Concepts are ranked, the most frequent first.

    ranks (T,): each concept's rank; ranked (T,): the concept of each rank. ends (T,): a concept of rank a has cells
    with ranks a + 1 ... ends[a] - 1, and firsts[a] + b is the cell of ranks a < b. counts: a counter a cell.
    """

    ranks: I32
    ranked: I32
    ends: I32
    firsts: I64
    counts: U32


def allot_cells(frequencies: I64, cells: int) -> Cells:
    """Give at most `cells` cells to the pairs that are likely to be met most often.

    By Zipf's law that is where rank times rank is small: a hyperbola, which takes in all pairs of a small vocabulary.
    """
    total = len(frequencies)
    places = np.arange(total, dtype=np.int64)

    def ends(reach: int) -> I64:
        return np.clip(reach // (places + 1), places + 1, total)

    low, high = 0, total * total
    while low < high:
        reach = (low + high + 1) // 2
        low, high = (reach, high) if int((ends(reach) - places - 1).sum()) <= cells else (low, reach - 1)
    last = ends(low)
    widths = last - places - 1
    ranked = np.argsort(-frequencies, kind="stable").astype(np.int32)
    ranks = np.empty(total, np.int32)
    ranks[ranked] = places
    firsts = np.cumsum(widths) - widths - places - 1
    return Cells(ranks, ranked, last.astype(np.int32), firsts, np.zeros(int(widths.sum()), np.uint32))


@part
def count_pairs(
    found: int, concepts: I32, cells: Cells, waiting: I32, filled: int, listed: I64, size: int
) -> tuple[int, int]:
    """Note in `waiting` the cell of each pair of a caption's concepts; those without a cell are listed from `size` on.

    A listed pair is a * T + b of ranks a < b. Returns how much of both is filled. Concepts become their ranks.
    A branch for a pair would be foreseen wrongly as often as not, so that both places are written and one is kept.
    """
    total = np.int64(cells.ranks.shape[0])
    for k in range(found):
        concepts[k] = cells.ranks[concepts[k]]
    for a in range(found - 1):
        if filled + found > waiting.shape[0]:
            filled = settle_cells(cells, waiting, filled)
        own = concepts[a]
        for b in range(a + 1, found):
            low, high = np.int64(min(own, concepts[b])), np.int64(max(own, concepts[b]))
            inside = high < cells.ends[low]
            waiting[np.uint64(filled)] = np.int32(cells.firsts[low] + high)
            listed[np.uint64(size)] = low * total + high
            filled += int(inside)
            size += int(not inside)
    return filled, size


@part
def settle_cells(cells: Cells, waiting: I32, filled: int) -> int:
    """Count what waits, all at once: then memory is asked for many cells at a time. Returns 0, what then waits."""
    for k in range(filled):
        cells.counts[np.uint64(waiting[k])] += np.uint32(1)
    return 0


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


@jit
def row_lengths(cells: Cells, listed: I64, lengths: I64) -> None:
    """Add to `lengths` (T,) how many entries each row of X gets from the cells and the listed pairs."""
    total = np.int64(lengths.shape[0])
    ranked = cells.ranked
    for low in range(cells.ends.shape[0]):
        for high in range(low + 1, cells.ends[low]):
            if cells.counts[cells.firsts[low] + high]:
                lengths[ranked[low]] += 1
                lengths[ranked[high]] += 1
    for k in range(listed.shape[0]):
        lengths[ranked[listed[k] // total]] += 1
        lengths[ranked[listed[k] % total]] += 1


@part
def write_entry(i: np.int32, j: np.int32, count: np.int64, at: I64, columns: I32, counts: I64) -> None:
    """Write one pair into both of its rows."""
    columns[at[i]], counts[at[i]] = j, count
    columns[at[j]], counts[at[j]] = i, count
    at[i] += 1
    at[j] += 1


@jit
def write_rows(cells: Cells, listed: I64, listed_counts: I64, at: I64, columns: I32, counts: I64) -> None:
    """Write all pairs into the rows of X, in no order; at (T,) is where each row goes on, and is moved."""
    total = np.int64(at.shape[0])
    ranked = cells.ranked
    for low in range(cells.ends.shape[0]):
        for high in range(low + 1, cells.ends[low]):
            count = np.int64(cells.counts[cells.firsts[low] + high])
            if count:
                write_entry(ranked[low], ranked[high], count, at, columns, counts)
    for k in range(listed.shape[0]):
        i, j = ranked[listed[k] // total], ranked[listed[k] % total]
        write_entry(i, j, listed_counts[k], at, columns, counts)
