"""Counts co-occurrences over batches of captions (paper 3.4)."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from contrastive_concepts.errors import UserError
from contrastive_concepts.matching import kernel
from contrastive_concepts.matching.lexicon import Lexicon
from contrastive_concepts.matching.nouns import LONGEST_KIND, noun_lemmas
from contrastive_concepts.matching.tables import I32, I64, U32, Captions, Found, Rules, Scratch, Tokens, jit
from contrastive_concepts.matching.tokens import CHUNKS_A_BYTE

LISTED_AT_ONCE = 1 << 16
PAIRS_AT_ONCE = 1 << 20
FREQUENT = 1 << 11
"""Number of frequent concepts, whose pairs each have a counter (16 MB). With 5,000, the counters do not stay in
the cache and pairs take twice as long."""
LOWER = (1 << 32) - 1
"""Mask of the second concept in a listed pair."""
BYTES_AT_ONCE = 1 << 15
"""Bytes of captions in a block. A single caption can be longer."""
MOST_BYTES = 1_000_000
"""Longest caption in bytes that spaCy accepts."""
MOST_ROWS = (1 << 31) - 1
"""Captions that 32-bit stamps and counters can tell apart."""
ANY_BYTES = (1 << 63) - 1
_WITH_OFFSETS: dict[pa.DataType, type[np.int32 | np.int64]] = {
    pa.string(): np.int32,
    pa.binary(): np.int32,
    pa.large_string(): np.int64,
    pa.large_binary(): np.int64,
}
_VIEWS = (pa.string_view(), pa.binary_view())


@dataclass(frozen=True)
class CaptionStatistics:
    """Counts of captions by kind, and in `mentions` the number of mentions.

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
    """Counts the captions that mention each concept and each pair of concepts. Memory does not grow with the captions.

    Pairs are listed as they come. When the list is full, those of two frequent concepts are counted in a counter each;
    the others stay, and where they fill half of the list they are sorted and merged into the sorted counts, so that
    memory is read in order, whatever the size of the vocabulary. The frequent concepts are those that the captions
    before the first full list mention most: a small shard has no counters.

    `add` runs without the interpreter lock. One counter belongs to one thread; several are brought together by `merge`,
    in any order, to the same result.
    """

    _size: int

    def __init__(self, lexicon: Lexicon, max_caption_bytes: int) -> None:
        self.lexicon = lexicon
        self.max_caption_bytes = max_caption_bytes
        self._folded: sparse.csr_array | None = None
        # With spaCy, its lemmas are counted; a second counter reads the captions themselves for the statistics.
        self._odd = CooccurrenceCounter(Lexicon.build([]), max_caption_bytes) if lexicon.tagger == "spacy" else None
        self._lists = _Lists(lexicon, max_caption_bytes)
        self._start()

    def add(self, captions: pa.Array | pa.ChunkedArray) -> None:
        """Count a batch of captions: text of any Arrow type, nulls allowed. Raises UserError for another type."""
        if self._odd is not None:
            self._odd.add(captions)
            captions = noun_lemmas(captions, self.lexicon.nouns, self.max_caption_bytes)
        for ends, concepts in self._lists.of(captions):
            row = 0
            while row < len(ends):
                row, self._size, wanted = list_pairs(ends, row, concepts, self._captions, self._pairs, self._size)
                if row < len(ends):
                    self._make_room(wanted)

    def merge(self, other: "CooccurrenceCounter") -> None:
        """Add the counts of another counter over the same concepts."""
        if other.lexicon.settings != self.lexicon.settings:
            raise ValueError("counters of different lexicons cannot be merged")
        self._folded = self.matrix() + other.matrix()
        self._start()
        self._lists.statistics += other._lists.statistics
        if self._odd is not None and other._odd is not None:
            self._odd.merge(other._odd)

    def matrix(self) -> sparse.csr_array:
        """X (T, T) int64, symmetric, canonical: X[i, j] captions mention both i and j, X[i, i] mention i."""
        self._count_frequent()
        self._settle()
        counted = np.flatnonzero(self._pair_counters)
        low, high = np.divmod(counted, max(len(self._frequent), 1))
        i = np.concatenate([self._keys >> 32, self._frequent[low]])
        j = np.concatenate([self._keys & LOWER, self._frequent[high]])
        counts = np.concatenate([self._counts, self._pair_counters[counted]])
        mentioned = np.flatnonzero(self._captions)
        entries = np.concatenate([counts, counts, self._captions[mentioned]])
        places = tuple(np.concatenate(ids).astype(np.int32) for ids in ((i, j, mentioned), (j, i, mentioned)))
        unordered = sparse.coo_array((entries, places), shape=2 * (len(self._captions),))
        unordered.has_canonical_format = True  # no entry is repeated
        # Transposing sorts the entries of each row, and X is symmetric.
        matrix = unordered.tocsr().tocsc().T
        matrix.has_canonical_format = True
        return matrix if self._folded is None else self._folded + matrix

    @property
    def statistics(self) -> CaptionStatistics:
        """Statistics of the captions so far."""
        statistics = CaptionStatistics(*map(int, self._lists.statistics))
        if self._odd is None:
            return statistics
        return replace(self._odd.statistics, matched=statistics.matched, mentions=statistics.mentions)

    def _start(self) -> None:
        """Reset all counts."""
        self._captions = np.zeros(len(self.lexicon.concepts), np.int64)
        self._keys, self._counts = np.empty(0, np.int64), np.empty(0, np.int64)
        self._pairs = np.empty(PAIRS_AT_ONCE, np.int64)
        self._size = 0
        self._frequent, self._ranks = np.empty(0, np.int64), np.empty(0, np.int32)
        self._pair_counters = np.empty(0, np.uint32)

    def _make_room(self, wanted: int) -> None:
        """Count listed pairs until there is room for `wanted` more."""
        if int(self._captions.max()) > MOST_ROWS:  # the counters have 32 bits
            self._folded = self.matrix()
            self._start()
            self._settle(wanted)
            return
        if not len(self._pair_counters):
            self._frequent = np.argsort(-self._captions, kind="stable")[:FREQUENT]
            self._ranks = np.full(len(self._captions), -1, np.int32)
            self._ranks[self._frequent] = np.arange(len(self._frequent))
            self._pair_counters = np.zeros(len(self._frequent) ** 2, np.uint32)
        self._count_frequent()
        if 2 * self._size + wanted > len(self._pairs):
            self._settle(wanted)

    def _count_frequent(self) -> None:
        """Count the listed pairs of two frequent concepts."""
        if len(self._pair_counters):
            self._size = count_frequent(self._pairs, self._size, self._ranks, self._pair_counters, len(self._frequent))

    def _settle(self, wanted: int = 0) -> None:
        """Add the listed pairs to the sorted counts. Afterwards the list is empty and has room for `wanted` pairs."""
        ordered = np.sort(self._pairs[: self._size])
        counts = np.empty(len(ordered), np.int64)
        distinct = run_lengths(ordered, ordered, counts)
        room = len(self._keys) + distinct
        keys, sums = np.empty(room, np.int64), np.empty(room, np.int64)
        size = merge_counts(self._keys, self._counts, ordered[:distinct], counts[:distinct], keys, sums)
        self._keys, self._counts, self._size = keys[:size].copy(), sums[:size].copy(), 0
        room = max(2 * size, wanted)  # if the list were shorter than the counts, merging would take longer than sorting
        if room > len(self._pairs):
            self._pairs = np.empty(room, np.int64)


def compile_kernel(lexicon: Lexicon) -> None:
    """Compile what counting needs, or load it: once compiled, other processes load it from numba's cache."""
    counter = CooccurrenceCounter(lexicon, BYTES_AT_ONCE)
    counter.add(pa.array(["a caption"]))
    if len(lexicon.concepts):
        counter._make_room(PAIRS_AT_ONCE)


def mentions(
    captions: pa.Array | pa.ChunkedArray, lexicon: Lexicon
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Which concepts each caption mentions, as in a CSR matrix: indptr (rows + 1,) and ascending concept ids."""
    if lexicon.tagger == "spacy":
        captions = noun_lemmas(captions, lexicon.nouns, MOST_BYTES)
    lengths, found = [np.zeros(1, np.int64)], [np.empty(0, np.int32)]
    for ends, concepts in _Lists(lexicon, ANY_BYTES).of(captions):
        lengths.append(np.diff(ends, prepend=0))
        rows = np.repeat(np.arange(len(ends)), lengths[-1])
        found.append(concepts[: len(rows)][np.lexsort((concepts[: len(rows)], rows))])
    return np.cumsum(np.concatenate(lengths)), np.concatenate(found)


class _Lists:
    """Runs the kernel over captions and yields their concepts, in buffers that are used again."""

    def __init__(self, lexicon: Lexicon, max_bytes: int) -> None:
        self.lexicon = lexicon
        self.rules = Rules(max_bytes, lexicon.mode == "phrase", lexicon.tagged)
        self.statistics = np.zeros(7, np.int64)
        self._concepts = np.empty(LISTED_AT_ONCE + len(lexicon.concepts) + 1, np.int32)
        self._scratch = new_scratch(lexicon, BYTES_AT_ONCE)

    def of(self, array: pa.Array | pa.ChunkedArray) -> Iterator[tuple[I64, I32]]:
        """Yield for several captions where each list ends (rows,), and the lists; valid until the next step."""
        for captions in caption_buffers(array):
            rows = len(captions.starts)
            longest = min(int((captions.stops - captions.starts).max(initial=0)), self.rules.max_bytes)
            if int(self._scratch.clock[0]) + rows > MOST_ROWS:
                self._scratch = new_scratch(self.lexicon, BYTES_AT_ONCE)
            if longest > self._scratch.tokens.keys.shape[0] - kernel.SPARE - 1:
                self._scratch = new_scratch(self.lexicon, 2 * longest)
            found = Found(np.empty(rows, np.int64), self._concepts, self.statistics)
            row = 0
            while row < rows:
                first = row
                row = kernel.list_concepts(captions, first, self.rules, self.lexicon.tables, self._scratch, found)
                yield found.ends[first:row], self._concepts


def new_scratch(lexicon: Lexicon, caption_bytes: int) -> Scratch:
    """Scratch space for a block of captions with at most this number of bytes."""
    words = caption_bytes + 1 + kernel.SPARE
    tokens = Tokens(
        keys=np.zeros(words, np.uint64),
        lengths=np.zeros(words, np.int32),
        cases=np.zeros(words, np.uint8),
        heads=np.zeros(words, np.uint64),
        broken=np.zeros(words, np.uint8),
        places=np.zeros(words, np.int32),
        entered=np.zeros(words, np.int32),
        chunks=np.zeros(CHUNKS_A_BYTE * words, np.uint64),
        word=np.empty(max(lexicon.longest_form, LONGEST_KIND // 8), np.uint64),
    )
    return Scratch(
        tokens,
        sequence=np.zeros(words, np.int32),
        owners=np.zeros(words, np.int32),
        begins=np.empty(kernel.BLOCK, np.int32),
        stops=np.empty(kernel.BLOCK, np.int32),
        valid=np.empty(kernel.BLOCK, np.uint8),
        word_stamps=np.zeros(lexicon.words, np.int32),
        concept_stamps=np.zeros(len(lexicon.concepts), np.int32),
        clock=np.zeros(1, np.int32),
    )


@jit
def list_pairs(ends: I64, row: int, concepts: I32, captions: I64, pairs: I64, size: int) -> tuple[int, int, int]:
    """Add the concepts of each caption from `row` on to `captions` (T,), and append their pairs to `pairs`.

    `ends` (rows,) and `concepts` as in `Found`. A pair of concepts a < b is a << 32 | b. Returns the row before which
    `pairs` might have run full, how many it holds then, and how many the next caption has.
    """
    first = ends[row - 1] if row else np.int64(0)
    for now in range(row, ends.shape[0]):
        found = ends[now] - first
        most = found * (found - 1) // 2
        if size + most > pairs.shape[0]:
            return now, size, most
        for a in range(first, ends[now]):
            own = np.int64(concepts[a])
            captions[own] += 1
            for b in range(a + 1, ends[now]):
                other = np.int64(concepts[b])
                pairs[size] = min(own, other) << 32 | max(own, other)
                size += 1
        first = ends[now]
    return ends.shape[0], size, 0


@jit
def count_frequent(pairs: I64, size: int, ranks: I32, counters: U32, frequent: int) -> int:
    """Of the first `size` pairs, add those of two ranked concepts to the counter of (lower rank, higher rank).

    The other pairs are moved to the front. Returns their number.
    """
    kept = 0
    for k in range(size):
        pair = np.uint64(pairs[k])
        own, other = ranks[pair >> np.uint64(32)], ranks[pair & np.uint64(LOWER)]
        low, high = min(own, other), max(own, other)
        if low >= 0:
            counters[np.uint64(low * frequent + high)] += np.uint32(1)
        else:
            pairs[kept] = pairs[k]
            kept += 1
    return kept


@jit
def run_lengths(ordered: I64, keys: I64, counts: I64) -> int:
    """Write the distinct values of a sorted array and how often each occurs. Returns the number of distinct values.

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
    """Merge two sorted lists of keys and add the counts of equal keys. Returns the length of the result."""
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


def caption_buffers(captions: pa.Array | pa.ChunkedArray) -> Iterator[Captions]:
    """Yield the captions of each chunk without copying their bytes.

    Takes string, large_string, string_view, their binary kin, dictionaries of these, sliced or not; only a view's bytes
    are gathered into one buffer first. Raises UserError for any other type.
    """
    chunks = captions.chunks if isinstance(captions, pa.ChunkedArray) else [captions]
    for chunk in chunks:
        yield _buffers(chunk)


def _buffers(array: pa.Array) -> Captions:
    if isinstance(array, pa.DictionaryArray):
        data, starts, stops = _buffers(array.dictionary)
        valid = _valid(array)
        rows = np.where(valid, array.indices.fill_null(0).to_numpy(zero_copy_only=False), 0).astype(np.int64)
        if not len(starts):
            return Captions(data, np.full(len(array), -1, np.int64), np.full(len(array), -1, np.int64))
        return Captions(data, np.where(valid, starts[rows], -1), np.where(valid, stops[rows], -1))
    if array.type in _VIEWS:
        array = array.cast(pa.large_binary())
    if pa.types.is_null(array.type):
        return Captions(_frozen(None, np.uint8), np.full(len(array), -1, np.int64), np.full(len(array), -1, np.int64))
    if array.type not in _WITH_OFFSETS:
        raise UserError(f"captions: found a column of type {array.type}, expected text (string or binary)")
    _, offsets_buffer, data_buffer = array.buffers()
    data = _frozen(data_buffer, np.uint8)
    if not len(array):
        return Captions(data, np.empty(0, np.int64), np.empty(0, np.int64))
    offsets = _frozen(offsets_buffer, _WITH_OFFSETS[array.type])[array.offset : array.offset + len(array) + 1]
    starts, stops = offsets[:-1].astype(np.int64), offsets[1:].astype(np.int64)
    if array.null_count:
        starts[~_valid(array)] = stops[~_valid(array)] = -1
    return Captions(data, starts, stops)


def _valid(array: pa.Array) -> npt.NDArray[np.bool_]:
    valid: npt.NDArray[np.bool_] = array.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _frozen(buffer: pa.Buffer | None, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """A read-only view of a buffer. The kernel is then compiled for one type only."""
    view = np.frombuffer(buffer, dtype) if buffer is not None and buffer.size else np.empty(0, dtype)
    view.flags.writeable = False
    return view
