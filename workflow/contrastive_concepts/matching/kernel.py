"""The matching and counting kernel: compiled loops over the bytes of captions.

It reads words exactly as `contrastive_concepts.vocabulary.words` defines them, looks each up among the lexicon's
surface forms, and counts concepts and pairs of concepts. Nothing here depends on the order of captions, batches or
threads.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from contrastive_concepts.vocabulary.words import CharacterClass

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Function = TypeVar("Function", bound=Callable[..., Any])

BREAK, SPACE, WORD, APOSTROPHE, IGNORED = (int(kind) for kind in CharacterClass)
UNKNOWN_WORD, PHRASE_BREAK = -1, -2
ROWS, NULL, EMPTY, INVALID_UTF8, GIGANTIC, MATCHED, MENTIONS = range(7)
HASH_START, HASH_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}


class Tables(NamedTuple):
    """The lexicon as the kernel reads it.

    ascii_folding (256,): the folded byte of an ASCII letter or digit, 0 of any other byte.
    character_class (0x110000,): see `CharacterClass`. folding_offsets (0x110001,) into folding: UTF-8 of each folding.
    slots (a power of two,): 0, or the upper half of a form's hash and the form's number + 1.
    form_offsets (F + 1,) into form_bytes: folded UTF-8 of each form. form_words (F,): the word it is a form of.
    single_concepts (W,): the concept that is this word alone, or -1.
    anchor_offsets (W + 1,) into anchored, anchored_shift: concepts that are checked where this word occurs, and the
    word's place in them. anchored_offsets (A + 1,) into anchored_words: all words of each.
    """

    ascii_folding: U8
    character_class: U8
    folding_offsets: I32
    folding: U8
    slots: U64
    form_offsets: I32
    form_bytes: U8
    form_words: I32
    single_concepts: I32
    anchor_offsets: I32
    anchored_concepts: I32
    anchored_shift: I32
    anchored_offsets: I32
    anchored_words: I32


class Scratch(NamedTuple):
    """Room for one caption at a time; a stamp equals `clock` where the entry belongs to the present caption."""

    word: U8
    sequence: I32
    concepts: I32
    word_stamps: I64
    concept_stamps: I64
    clock: I64


def jit(function: Function) -> Function:
    """Compile without the interpreter lock; keep the machine code on disk where there is a place to write it.

    Nothing here allocates: without numba's runtime, the arrays' reference counts are left alone (measured: 1.7 times
    as fast).
    """
    try:
        return cast(Function, numba.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:  # a read-only install without a writable home
        return cast(Function, numba.njit(**_OPTIONS)(function))


@jit
def decode(data: U8, i: int, stop: int) -> tuple[int, int]:
    """The code point at byte i and its length in bytes; (-1, 1) where the bytes are not UTF-8 (RFC 3629)."""
    first = int(np.int64(data[i]))
    if first < 0x80:
        return first, 1
    if 0xC2 <= first <= 0xDF:
        size, point = 2, first & 0x1F
    elif 0xE0 <= first <= 0xEF:
        size, point = 3, first & 0x0F
    elif 0xF0 <= first <= 0xF4:
        size, point = 4, first & 0x07
    else:
        return -1, 1
    if i + size > stop:
        return -1, 1
    for k in range(1, size):
        byte = int(np.int64(data[i + k]))
        if byte & 0xC0 != 0x80:
            return -1, 1
        point = point << 6 | byte & 0x3F
    overlong_or_too_large = (size == 3 and point < 0x800) or (size == 4 and not 0x10000 <= point <= 0x10FFFF)
    if overlong_or_too_large or 0xD800 <= point <= 0xDFFF:
        return -1, 1
    return point, size


@jit
def peek(data: U8, i: int, stop: int, tables: Tables) -> tuple[int, int, int]:
    """The next character that is not ignored: its class, code point, and the byte after it. BREAK at the end."""
    while i < stop:
        point, size = decode(data, i, stop)
        i += size
        kind = int(np.int64(tables.character_class[point])) if point >= 0 else BREAK
        if kind != IGNORED:
            return kind, point, i
    return BREAK, -1, i


@jit
def look_up(word: U8, length: int, code: np.uint64, tables: Tables) -> int:
    """The lexicon's word whose surface form this is, or UNKNOWN_WORD. A hash that agrees is verified byte by byte."""
    if length > word.shape[0]:
        return UNKNOWN_WORD
    mixed = code * GOLDEN
    mixed ^= mixed >> np.uint64(32)
    mask = np.uint64(tables.slots.shape[0] - 1)
    place = mixed & mask
    while True:
        slot = tables.slots[place]
        if slot == np.uint64(0):
            return UNKNOWN_WORD
        if slot >> np.uint64(32) == mixed >> np.uint64(32):
            form = np.int64(slot & np.uint64(0xFFFFFFFF)) - 1
            first = tables.form_offsets[form]
            if tables.form_offsets[form + 1] - first == length:
                k = 0
                while k < length and tables.form_bytes[first + k] == word[k]:
                    k += 1
                if k == length:
                    return int(tables.form_words[form])
        place = (place + np.uint64(1)) & mask


@jit
def read_words(data: U8, start: int, stop: int, tables: Tables, phrase: bool, scratch: Scratch) -> tuple[int, bool]:
    """Write the caption's words to scratch.sequence: how many entries, and whether all bytes are UTF-8.

    With `phrase`, words that the lexicon does not know are UNKNOWN_WORD and phrase breaks PHRASE_BREAK; both are left
    out otherwise.
    """
    word, sequence = scratch.word, scratch.sequence
    ascii_folding, character_class = tables.ascii_folding, tables.character_class
    folding, folding_offsets = tables.folding, tables.folding_offsets
    room = word.shape[0]
    count = 0
    valid = True
    broken = False
    length = 0
    code = HASH_START
    i = start
    while i <= stop:
        kind = BREAK
        after = i + 1
        if i < stop:
            folded = ascii_folding[data[i]]
            if folded:
                if length < room:
                    word[length] = folded
                    code = (code ^ np.uint64(folded)) * HASH_PRIME
                length += 1
                i += 1
                continue
            point, size = decode(data, i, stop)
            after = i + size
            if point < 0:
                valid = False
            else:
                kind = int(np.int64(character_class[point]))
            if kind == IGNORED:
                i = after
                continue
            if kind == WORD:
                for k in range(folding_offsets[point], folding_offsets[point + 1]):
                    if length < room:
                        word[length] = folding[k]
                        code = (code ^ np.uint64(folding[k])) * HASH_PRIME
                    length += 1
                i = after
                continue
            if kind == APOSTROPHE and length > 0:
                follower, letter, behind = peek(data, after, stop, tables)
                if follower == WORD:
                    first = folding_offsets[letter]
                    is_s = folding_offsets[letter + 1] - first == 1 and folding[first] == ord("s")
                    if not is_s or peek(data, behind, stop, tables)[0] == WORD:
                        i = after
                        continue
                    after = behind
        if length > 0:
            known = look_up(word, length, code, tables)
            if phrase:
                if broken:
                    sequence[count] = PHRASE_BREAK
                    count += 1
                    broken = False
                sequence[count] = known
                count += 1
            elif known >= 0:
                sequence[count] = known
                count += 1
            length = 0
            code = HASH_START
        broken = broken or kind == BREAK
        i = after
    return count, valid


@jit
def find_concepts(length: int, tables: Tables, phrase: bool, scratch: Scratch) -> int:
    """Write the concepts of the words in scratch.sequence to scratch.concepts, each once; returns how many."""
    sequence, concepts = scratch.sequence, scratch.concepts
    scratch.clock[0] += 1
    now = scratch.clock[0]
    distinct = 0
    found = 0
    for position in range(length):
        word = sequence[position]
        if word >= 0 and scratch.word_stamps[word] != now:
            scratch.word_stamps[word] = now
            if tables.single_concepts[word] >= 0:
                concepts[found] = tables.single_concepts[word]
                found += 1
            if not phrase:
                sequence[distinct] = word
                distinct += 1
    for position in range(length if phrase else distinct):
        word = sequence[position]
        if word < 0:
            continue
        for anchor in range(tables.anchor_offsets[word], tables.anchor_offsets[word + 1]):
            concept = tables.anchored_concepts[anchor]
            first, last = tables.anchored_offsets[anchor], tables.anchored_offsets[anchor + 1]
            if scratch.concept_stamps[concept] == now:
                continue
            if phrase:
                begin = position - tables.anchored_shift[anchor]
                if begin < 0 or begin + last - first > length:
                    continue
                k = first
                while k < last and sequence[begin + k - first] == tables.anchored_words[k]:
                    k += 1
            else:
                k = first
                while k < last and scratch.word_stamps[tables.anchored_words[k]] == now:
                    k += 1
            if k == last:
                scratch.concept_stamps[concept] = now
                concepts[found] = concept
                found += 1
    return found


@jit
def run_lengths(ordered: I64, keys: I64, counts: I64) -> int:
    """The distinct values (ascending, like the input) and how often each occurs; returns how many they are.

    `keys` may be `ordered` itself.
    """
    size = 0
    for at in range(ordered.shape[0]):
        if size > 0 and ordered[at] == keys[size - 1]:
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
def count_captions(
    data: U8,
    starts: I64,
    stops: I64,
    row: int,
    max_bytes: int,
    phrase: bool,
    tables: Tables,
    scratch: Scratch,
    captions: I64,
    pairs: I64,
    size: int,
    statistics: I64,
) -> tuple[int, int, int]:
    """Count the concepts (`captions` (T,)) of a batch from `row` on, and list their pairs; a start of -1 is a null.

    `pairs` receives i * T + j, i < j, for each pair in each caption, from `size` on. Returns the row before which it
    was full, how many pairs it holds then, and how many the next caption has. Adds captions and statistics in place.
    """
    concepts = scratch.concepts
    total = captions.shape[0]
    for now in range(row, starts.shape[0]):
        start, stop = starts[now], stops[now]
        length, found, valid = 0, 0, True
        readable = start >= 0 and stop - start <= max_bytes
        if readable:
            length, valid = read_words(data, start, stop, tables, phrase, scratch)
        if length > 0:
            found = find_concepts(length, tables, phrase, scratch)
            if size + found * (found - 1) // 2 > pairs.shape[0]:
                return now, size, found * (found - 1) // 2
        statistics[ROWS] += 1
        statistics[NULL] += start < 0
        statistics[EMPTY] += start == stop and start >= 0
        statistics[INVALID_UTF8] += not valid
        statistics[GIGANTIC] += not readable and start >= 0
        statistics[MATCHED] += found > 0
        statistics[MENTIONS] += found
        for a in range(found):
            i = concepts[a]
            captions[i] += 1
            for b in range(a):
                j = concepts[b]
                pairs[size] = np.int64(min(i, j)) * total + max(i, j)
                size += 1
    return starts.shape[0], size, 0


@jit
def list_concepts(
    data: U8,
    starts: I64,
    stops: I64,
    row: int,
    phrase: bool,
    tables: Tables,
    scratch: Scratch,
    ends: I64,
    listed: I32,
    size: int,
) -> tuple[int, int]:
    """Write the concepts of each caption from `row` on to `listed`, one list after the other.

    `ends` (rows,) receives where each caption's list ends. Returns the row before which room ran out, and the size.
    """
    for now in range(row, starts.shape[0]):
        if starts[now] >= 0:
            length, _ = read_words(data, starts[now], stops[now], tables, phrase, scratch)
            found = find_concepts(length, tables, phrase, scratch)
            if size + found > listed.shape[0]:
                return now, size
            for k in range(found):
                listed[size + k] = scratch.concepts[k]
            size += found
        ends[now] = size
    return starts.shape[0], size
