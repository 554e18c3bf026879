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

PAIRS_AT_ONCE = 1 << 20


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

    Pairs are listed as they come; a full list is sorted and merged into the sorted counts, so that memory is read in
    order, whatever the size of the vocabulary.

    `add` runs without the interpreter lock. One counter belongs to one thread; several are brought together by `merge`,
    in any order, to the same result.
    """

    def __init__(self, lexicon: Lexicon, max_caption_bytes: int) -> None:
        self.lexicon = lexicon
        self.max_caption_bytes = max_caption_bytes
        self._scratch = _scratch(lexicon)
        self._captions = np.zeros(len(lexicon.concepts), np.int64)
        self._keys, self._counts = np.empty(0, np.int64), np.empty(0, np.int64)
        self._pairs, self._listed = np.empty(PAIRS_AT_ONCE, np.int64), 0
        self._statistics = np.zeros(7, np.int64)

    def add(self, captions: pa.Array | pa.ChunkedArray) -> None:
        """Count a batch of captions: text of any Arrow type, nulls allowed. Raises UserError for another type."""
        for data, starts, stops in caption_places(captions):
            longest = min(int((stops - starts).max(initial=0)), self.max_caption_bytes)
            self._scratch = _with_room(self._scratch, longest)
            row = 0
            while row < len(starts):
                row, self._listed, wanted = kernel.count_captions(
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
                    self._listed,
                    self._statistics,
                )
                if row < len(starts):
                    self._settle(wanted)

    def merge(self, other: "CooccurrenceCounter") -> None:
        """Add the counts of another counter over the same concepts."""
        if other.lexicon.concepts != self.lexicon.concepts or other.lexicon.mode != self.lexicon.mode:
            raise ValueError("counters of different lexicons cannot be merged")
        other._settle()
        self._add_pairs(other._keys, other._counts)
        self._captions += other._captions
        self._statistics += other._statistics

    def matrix(self) -> sparse.csr_array:
        """X (T, T) int64, symmetric, canonical: X[i, j] captions mention both i and j, X[i, i] mention i."""
        self._settle()
        total = len(self._captions)
        i, j = np.divmod(self._keys, max(total, 1))
        concepts = np.flatnonzero(self._captions)
        rows, columns = np.concatenate([i, j, concepts]), np.concatenate([j, i, concepts])
        counts = np.concatenate([self._counts, self._counts, self._captions[concepts]])
        matrix = sparse.csr_array(sparse.coo_array((counts, (rows, columns)), shape=(total, total)))
        matrix.sort_indices()
        return matrix

    @property
    def statistics(self) -> CaptionStatistics:
        """What was met so far."""
        return CaptionStatistics(*map(int, self._statistics))

    def _settle(self, wanted: int = 0) -> None:
        """Move the listed pairs into the counts; afterwards there is room to list `wanted` pairs."""
        pairs = self._pairs[: self._listed]
        pairs.sort()
        counts = np.empty(len(pairs), np.int64)
        distinct = kernel.run_lengths(pairs, pairs, counts)
        self._add_pairs(pairs[:distinct], counts[:distinct])
        self._listed = 0
        room = max(len(self._keys), wanted)  # as long as the counts, or merging would take more than sorting
        if room > len(self._pairs):
            self._pairs = np.empty(room, np.int64)

    def _add_pairs(self, keys: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> None:
        room = len(self._keys) + len(keys)
        merged, sums = np.empty(room, np.int64), np.empty(room, np.int64)
        size = kernel.merge_counts(self._keys, self._counts, keys, counts, merged, sums)
        self._keys, self._counts = merged[:size].copy(), sums[:size].copy()


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
