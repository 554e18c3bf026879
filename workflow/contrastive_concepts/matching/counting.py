"""Counting co-occurrences over batches of captions (paper 3.4)."""

from dataclasses import asdict, dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from contrastive_concepts.matching import kernel
from contrastive_concepts.matching.buffers import caption_places
from contrastive_concepts.matching.lexicon import Lexicon

FIRST_CAPACITY = 1 << 12


@dataclass(frozen=True)
class CaptionStatistics:
    """What was met among the captions; all counts of captions but the last.

    gigantic: longer than `max_caption_bytes`, skipped. matched: with a concept. mentions: sum over captions of their
    distinct concepts. A caption with bytes that are not UTF-8 is matched by the rest of it.
    """

    rows: int = 0
    null: int = 0
    empty: int = 0
    invalid_utf8: int = 0
    gigantic: int = 0
    matched: int = 0
    mentions: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def as_dict(self) -> dict[str, int]:
        """For a report or a manifest."""
        return asdict(self)


class CooccurrenceCounter:
    """Counts the captions that mention each concept and each pair of concepts; memory does not grow with the rows.

    `add` runs without the interpreter lock. One counter belongs to one thread; several are brought together by `merge`,
    in any order, to the same result.
    """

    def __init__(self, lexicon: Lexicon, max_caption_bytes: int) -> None:
        self.lexicon = lexicon
        self.max_caption_bytes = max_caption_bytes
        self._scratch = _scratch(lexicon)
        self._captions = np.zeros(len(lexicon.concepts), np.int64)
        self._pairs = np.zeros(2 * FIRST_CAPACITY, np.int64)
        self._used = 0
        self._statistics = np.zeros(7, np.int64)

    def add(self, captions: pa.Array | pa.ChunkedArray) -> None:
        """Count a batch of captions: text of any Arrow type, nulls allowed. Raises UserError for another type."""
        for data, starts, stops in caption_places(captions):
            longest = min(int((stops - starts).max(initial=0)), self.max_caption_bytes)
            self._scratch = _with_room(self._scratch, longest)
            row = 0
            while row < len(starts):
                row, self._used, wanted = kernel.count_captions(
                    data,
                    starts,
                    stops,
                    row,
                    self.max_caption_bytes,
                    self.lexicon.mode == "phrase",
                    self.lexicon.tables,
                    self._scratch,
                    self._captions,
                    self._pairs,
                    self._used,
                    self._statistics,
                )
                self._make_room(wanted)

    def merge(self, other: "CooccurrenceCounter") -> None:
        """Add the counts of another counter over the same concepts."""
        if other.lexicon.concepts != self.lexicon.concepts or other.lexicon.mode != self.lexicon.mode:
            raise ValueError("counters of different lexicons cannot be merged")
        self._make_room(self._used + other._used)
        self._used += kernel.add_pairs(self._pairs, other._pairs)
        self._captions += other._captions
        self._statistics += other._statistics

    def matrix(self) -> sparse.csr_array:
        """X (T, T) int64, symmetric, canonical: X[i, j] captions mention both i and j, X[i, i] mention i."""
        total = len(self._captions)
        table = self._pairs.reshape(-1, 2)
        table = table[table[:, 0] > 0]
        i, j = np.divmod(table[:, 0] - 1, max(total, 1))
        concepts = np.flatnonzero(self._captions)
        rows, columns = np.concatenate([i, j, concepts]), np.concatenate([j, i, concepts])
        counts = np.concatenate([table[:, 1], table[:, 1], self._captions[concepts]])
        matrix = sparse.csr_array(sparse.coo_array((counts, (rows, columns)), shape=(total, total)))
        matrix.sort_indices()
        return matrix

    @property
    def statistics(self) -> CaptionStatistics:
        """What was met so far."""
        return CaptionStatistics(*map(int, self._statistics))

    def _make_room(self, pairs: int) -> None:
        """A table of so many pairs keeps a third of its places free."""
        capacity = len(self._pairs) // 2
        if pairs <= capacity * 2 // 3:
            return
        while pairs > capacity * 2 // 3:
            capacity *= 2
        larger = np.zeros(2 * capacity, np.int64)
        kernel.add_pairs(larger, self._pairs)
        self._pairs = larger


def mentions(
    captions: pa.Array | pa.ChunkedArray, lexicon: Lexicon
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Which concepts each caption mentions, as in a CSR matrix: indptr (rows + 1,) and ascending concept ids."""
    scratch = _scratch(lexicon)
    indptr, found, total = [np.zeros(1, np.int64)], [np.empty(0, np.int32)], 0
    for data, starts, stops in caption_places(captions):
        scratch = _with_room(scratch, int((stops - starts).max(initial=0)))
        ends = np.empty(len(starts), np.int64)
        listed, row, size = np.empty(1024, np.int32), 0, 0
        while row < len(starts):
            row, size = kernel.list_concepts(
                data, starts, stops, row, lexicon.mode == "phrase", lexicon.tables, scratch, ends, listed, size
            )
            if row < len(starts):
                listed = np.concatenate([listed, np.empty(len(listed) + len(lexicon.concepts), np.int32)])
        listed = listed[:size]
        rows = np.repeat(np.arange(len(starts)), np.diff(ends, prepend=0))
        found.append(listed[np.lexsort((listed, rows))])
        indptr.append(ends + total)
        total += len(listed)
    return np.concatenate(indptr), np.concatenate(found)


def _scratch(lexicon: Lexicon) -> kernel.Scratch:
    return kernel.Scratch(
        word=np.empty(lexicon.longest_form, np.uint8),
        sequence=np.empty(1024, np.int32),
        concepts=np.empty(len(lexicon.concepts), np.int32),
        word_stamps=np.zeros(lexicon.words, np.int64),
        concept_stamps=np.zeros(len(lexicon.concepts), np.int64),
        clock=np.zeros(1, np.int64),
    )


def _with_room(scratch: kernel.Scratch, caption_bytes: int) -> kernel.Scratch:
    """A caption has at most one word or phrase break a byte."""
    if caption_bytes < len(scratch.sequence):
        return scratch
    return scratch._replace(sequence=np.empty(2 * caption_bytes, np.int32))
