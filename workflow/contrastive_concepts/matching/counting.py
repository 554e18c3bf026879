"""Counting co-occurrences over batches of captions (paper 3.4)."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from contrastive_concepts.matching import kernel, pairs
from contrastive_concepts.matching.buffers import caption_places
from contrastive_concepts.matching.lexicon import Lexicon
from contrastive_concepts.matching.spacy_tagger import noun_lemmas
from contrastive_concepts.matching.tables import I32, I64, U8, Scratch, Tables
from contrastive_concepts.matching.tokens import CHUNKS_A_BYTE, LONGEST_KIND, SPARE

SAMPLE_ROWS = 1 << 14
CELLS = 1 << 25
CELLS_AT_ONCE = 1 << 11
BLOCK = 256
"""Captions that go through the steps of the matching together."""
LISTED_AT_ONCE = 1 << 16
PAIRS_AT_ONCE = 1 << 20
MOST_BYTES = 1_000_000
"""Of a caption that spaCy takes."""
MOST_ROWS = (1 << 31) - 1
"""What a stamp of 32 bits holds."""
ANY_BYTES = (1 << 63) - 1


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

    Once `SAMPLE_ROWS` captions have shown which concepts are frequent, their pairs have a counter each. The others are
    listed as they come; a full list is sorted and merged into the sorted counts, so that memory is read in order,
    whatever the size of the vocabulary.

    `add` runs without the interpreter lock. One counter belongs to one thread; several are brought together by `merge`,
    in any order, to the same result.
    """

    def __init__(self, lexicon: Lexicon, max_caption_bytes: int) -> None:
        self.lexicon = lexicon
        self.max_caption_bytes = max_caption_bytes
        self._statistics = np.zeros(7, np.int64)
        self._folded: sparse.csr_array | None = None
        self._limit = SAMPLE_ROWS
        # spaCy's lemmas are counted in place of captions; what is odd about these, another counter sees.
        self._odd = CooccurrenceCounter(Lexicon.build([]), max_caption_bytes) if lexicon.tagger == "spacy" else None
        self._captions = np.zeros(len(lexicon.concepts), np.int64)
        self._cells = pairs.allot_cells(self._captions, 0)
        self._listed = np.empty(LISTED_AT_ONCE + len(lexicon.concepts) + 1, np.int32)
        self._waiting = np.empty(max(CELLS_AT_ONCE, len(lexicon.concepts)), np.int32)
        self._start()

    def add(self, captions: pa.Array | pa.ChunkedArray) -> None:
        """Count a batch of captions: text of any Arrow type, nulls allowed. Raises UserError for another type."""
        if self._odd is not None:
            self._odd.add(captions)
            captions = noun_lemmas(captions, self.lexicon.nouns, self.max_caption_bytes)
        for data, starts, stops in caption_places(captions):
            for first in range(0, len(starts), SAMPLE_ROWS):
                rows = slice(first, first + SAMPLE_ROWS)
                self._add(data, starts[rows], stops[rows])

    def merge(self, other: "CooccurrenceCounter") -> None:
        """Add the counts of another counter over the same concepts."""
        if other.lexicon.settings != self.lexicon.settings:
            raise ValueError("counters of different lexicons cannot be merged")
        self._folded = self.matrix() + other.matrix()
        self._start(CELLS if self._limit == MOST_ROWS else 0)
        self._statistics += other._statistics
        if self._odd is not None and other._odd is not None:
            self._odd.merge(other._odd)

    def matrix(self) -> sparse.csr_array:
        """X (T, T) int64, symmetric, canonical: X[i, j] captions mention both i and j, X[i, i] mention i."""
        self._settle()
        i, j, counts = pairs.counted_pairs(self._cells, self._keys, self._counts)
        frequencies = self._frequencies()
        mentioned = np.flatnonzero(frequencies).astype(np.int32)
        entries = np.concatenate([counts, counts, frequencies[mentioned]])
        places = np.concatenate([i, j, mentioned]), np.concatenate([j, i, mentioned])
        unordered = sparse.coo_array((entries, places), shape=2 * (len(frequencies),))
        unordered.has_canonical_format = True  # no entry is there twice
        # Transposing brings each row into order, and X is symmetric.
        matrix = unordered.tocsr().tocsc().T
        matrix.has_canonical_format = True
        return matrix if self._folded is None else self._folded + matrix

    @property
    def statistics(self) -> CaptionStatistics:
        """What was met so far."""
        statistics = CaptionStatistics(*map(int, self._statistics))
        if self._odd is None:
            return statistics
        return replace(self._odd.statistics, matched=statistics.matched, mentions=statistics.mentions)

    def _start(self, cells: int = 0) -> None:
        """Count from nothing, with cells for the concepts that were frequent so far; the kernel knows them by rank."""
        self._cells = pairs.allot_cells(self._frequencies(), cells)
        self._tables = _ranked(self.lexicon.tables, self._cells.ranked)
        self._captions = np.zeros(len(self.lexicon.concepts), np.int64)
        self._scratch, self._rows = _scratch(self.lexicon), 0
        self._keys, self._counts = np.empty(0, np.int64), np.empty(0, np.int64)
        self._pairs, self._size = np.empty(PAIRS_AT_ONCE, np.int64), 0

    def _frequencies(self) -> I64:
        """Captions that mention each concept since the start."""
        frequencies = np.empty_like(self._captions)
        frequencies[self._cells.ranked] = self._captions
        return frequencies

    def _add(self, data: U8, starts: I64, stops: I64) -> None:
        if self._rows + len(starts) > self._limit:
            self._folded = self.matrix()
            self._start(CELLS)
            self._limit = MOST_ROWS
        longest = min(int((stops - starts).max(initial=0)), self.max_caption_bytes)
        self._scratch = _with_room(self._scratch, longest)
        ends, row = np.empty(len(starts), np.int64), 0
        # Lists first, then their pairs: two loops whose branches are foreseen, and tables cached, better than one's.
        while row < len(starts):
            first = row
            row = kernel.list_concepts(
                data,
                starts,
                stops,
                first,
                self.max_caption_bytes,
                self.lexicon.mode == "phrase",
                self.lexicon.tagged,
                self._tables,
                self._scratch,
                ends,
                self._listed,
                self._statistics,
            )
            self._count(ends[first:row])
        self._rows += len(starts)

    def _count(self, ends: I64) -> None:
        """Count what is listed of so many captions."""
        row = 0
        while row < len(ends):
            row, self._size, wanted = pairs.count_lists(
                ends, row, self._listed, self._captions, self._cells, self._waiting, self._pairs, self._size
            )
            if row < len(ends):
                self._settle(wanted)

    def _settle(self, wanted: int = 0) -> None:
        """Move the pairs without a cell into the sorted counts; afterwards there is room for `wanted` of them."""
        ordered = pairs.sort_keys(self._pairs[: self._size], len(self._captions) ** 2)
        counts = np.empty(len(ordered), np.int64)
        distinct = pairs.run_lengths(ordered, ordered, counts)
        room = len(self._keys) + distinct
        keys, sums = np.empty(room, np.int64), np.empty(room, np.int64)
        size = pairs.merge_counts(self._keys, self._counts, ordered[:distinct], counts[:distinct], keys, sums)
        self._keys, self._counts, self._size = keys[:size].copy(), sums[:size].copy(), 0
        room = max(2 * size, wanted)  # longer than the counts, or merging would take more than sorting
        if room > len(self._pairs):
            self._pairs = np.empty(room, np.int64)


def mentions(
    captions: pa.Array | pa.ChunkedArray, lexicon: Lexicon
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Which concepts each caption mentions, as in a CSR matrix: indptr (rows + 1,) and ascending concept ids."""
    if lexicon.tagger == "spacy":
        captions = noun_lemmas(captions, lexicon.nouns, MOST_BYTES)
    scratch, nothing = _scratch(lexicon), np.zeros(7, np.int64)
    listed = np.empty(LISTED_AT_ONCE + len(lexicon.concepts) + 1, np.int32)
    lengths, found = [np.zeros(1, np.int64)], [np.empty(0, np.int32)]
    for data, starts, stops in caption_places(captions):
        scratch = _with_room(scratch, int((stops - starts).max(initial=0)))
        ends, row = np.empty(len(starts), np.int64), 0
        while row < len(starts):
            first = row
            row = kernel.list_concepts(
                data,
                starts,
                stops,
                first,
                ANY_BYTES,
                lexicon.mode == "phrase",
                lexicon.tagged,
                lexicon.tables,
                scratch,
                ends,
                listed,
                nothing,
            )
            lengths.append(np.diff(ends[first:row], prepend=0))
            rows = np.repeat(np.arange(row - first), lengths[-1])
            concepts = listed[: len(rows)]
            found.append(concepts[np.lexsort((concepts, rows))])
    return np.cumsum(np.concatenate(lengths)), np.concatenate(found)


def _ranked(tables: Tables, ranked: I32) -> Tables:
    """The tables with the ranks of concepts in the concepts' place; `ranked` (T,): the concept of each rank."""
    ranks = np.full(len(ranked) + 1, -1, np.int32)
    ranks[ranked] = np.arange(len(ranked), dtype=np.int32)
    words, anchored = tables.words.copy(), tables.anchored.copy()
    for concepts in (words[::4], anchored[::4]):
        concepts[:] = ranks[concepts]  # -1, no concept, is the last of the ranks: -1
    return tables._replace(words=words, anchored=anchored)


def _scratch(lexicon: Lexicon) -> Scratch:
    return Scratch(
        word=np.empty(max(lexicon.longest_form, LONGEST_KIND // 8), np.uint64),
        **_room(1 << 15),
        begins=np.empty(BLOCK, np.int64),
        stops=np.empty(BLOCK, np.int64),
        valid=np.empty(BLOCK, np.uint8),
        firsts=np.empty(BLOCK, np.int64),
        ends=np.empty(BLOCK, np.int64),
        word_stamps=np.zeros(lexicon.words, np.int32),
        concept_stamps=np.zeros(len(lexicon.concepts), np.int32),
        clock=np.zeros(1, np.int32),
    )


def _with_room(scratch: Scratch, caption_bytes: int) -> Scratch:
    """Room for a caption of at most so many words."""
    if caption_bytes + 1 + SPARE <= len(scratch.keys):
        return scratch
    return scratch._replace(**_room(2 * caption_bytes))


def _room(words: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of `Scratch` with an entry a word, and chunks for captions of as many bytes."""
    types = {
        "keys": np.uint64, "sizes": np.int32, "places": np.int32, "broken": np.uint8, "heads": np.uint64,
        "entered": np.int32, "sequence": np.int32, "tokens": np.int32,
    }  # fmt: skip
    rooms = {name: np.zeros(words + 1 + SPARE, kind) for name, kind in types.items()}
    return rooms | {"chunks": np.zeros(CHUNKS_A_BYTE * (words + 1 + SPARE), np.uint64)}
