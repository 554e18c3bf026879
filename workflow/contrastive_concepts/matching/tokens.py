"""The words of a block of captions: noted one by one as they are read, then all of them looked up."""

import numpy as np

from contrastive_concepts.matching.chunks import byte_of, fetch
from contrastive_concepts.matching.forms import NO_KEY, fetch_displacement, fetch_slot, key_of, look_up, row_of, word_of
from contrastive_concepts.matching.tables import U8, U64, Scratch, Tables, part

LONGEST_KIND = 64
UNKNOWN, PHRASE_BREAK = -1, -2
AHEAD = 8
"""Words between two steps of fetching a form."""
SPARE = 2 * AHEAD + 2
"""Room behind the last word."""
CHUNKS_A_BYTE = 2
"""Room for them: no character's folding is more than 16 times as long as it (U+FDFA's: 10)."""
BOUNDARY_ROW = 0
"""Stands for the word before the first and after the last, whose letter case is OUTSIDE."""
OUTSIDE = 3
CASE_BITS = 2


@part
def note_word(token: int, place: int, length: int, case: int, broken: bool, scratch: Scratch) -> int:
    """Note the word of so many bytes in scratch.word as this token; returns the place behind its chunks.

    One that has no room there is longer than any form, and than what `form_kind` looks at.
    """
    word, now = scratch.word, np.uint64(token)
    size = (length + 7) >> 3
    scratch.sizes[now] = length << CASE_BITS | case
    scratch.places[now] = place
    scratch.broken[now] = broken
    if size > word.shape[0]:
        scratch.keys[now] = NO_KEY
        return place
    scratch.keys[now] = key_of(word, 0, size)
    if size == 1:
        return place
    for k in range(size):
        scratch.chunks[np.uint64(place + k)] = word[np.uint64(k)]
    return place + size


@part
def note_boundary(token: int, scratch: Scratch) -> None:
    """Before a caption's first token, and after its last."""
    scratch.keys[np.uint64(token)] = NO_KEY
    scratch.sizes[np.uint64(token)] = OUTSIDE
    scratch.broken[np.uint64(token)] = False


@part
def look_up_words(count: int, phrase: bool, tagged: bool, tables: Tables, scratch: Scratch) -> None:
    """Enter what the first `count` words stand for in scratch.sequence.

    With `phrase`, what is no word of a concept is entered as UNKNOWN, and phrase breaks as PHRASE_BREAK; otherwise both
    are left out. With `tagged`, what the noun model says of every word is noted too.
    """
    keys, sequence = scratch.keys, scratch.sequence
    plain = tables.words.shape[0] >> 2
    entries = 0
    for token in range(count):
        now = np.uint64(token)
        # Large tables lie far away: what a word needs of them is on its way while others are looked up.
        fetch_displacement(keys[now + np.uint64(2 * AHEAD)], tables)
        fetch_slot(keys[now + np.uint64(AHEAD)], tables)
        length = scratch.sizes[now] >> CASE_BITS
        form = look_up(keys[now], length, scratch.chunks, scratch.places[now], tables)
        word = word_of(form)
        fetch(tables.words, np.uint64(word) << np.uint64(2))  # type: ignore[call-arg]
        fetch(scratch.word_stamps, np.uint64(word))
        scratch.entered[now] = entries
        if phrase and scratch.broken[now]:
            sequence[np.uint64(entries)] = PHRASE_BREAK
            entries += 1
        sequence[np.uint64(entries)] = word
        if tagged:
            row = np.uint64(row_of(form))
            if row == 0:
                row = np.uint64(unknown_row(token, length, tables, scratch))
            scratch.heads[now] = tables.row_heads[row]
            weights = row * np.uint64(tables.row_weights.shape[1])
            fetch(tables.row_weights, weights)
            fetch(tables.row_weights, weights + np.uint64(64))
            scratch.tokens[np.uint64(entries)] = token
        entries += int(phrase) | int(word >= 0)
        if word >= plain:
            entries = enter_shared(word - plain, token, entries - 1, tagged, tables, scratch)
    scratch.entered[np.uint64(count)] = entries


@part
def enter_shared(number: int, token: int, entries: int, tagged: bool, tables: Tables, scratch: Scratch) -> int:
    """Enter each word that a form stands for behind so many entries; returns how many they are then.

    There is room, because no form belongs to more words than it has bytes.
    """
    for k in range(tables.shared_offsets[number], tables.shared_offsets[number + 1]):
        scratch.sequence[np.uint64(entries)] = tables.shared_words[np.uint64(k)]
        if tagged:
            scratch.tokens[np.uint64(entries)] = token
        entries += 1
    return entries


@part
def unknown_row(token: int, length: int, tables: Tables, scratch: Scratch) -> int:
    """The noun model's row of a form that it does not know; of a boundary, which has no length, that of boundaries."""
    if length == 0:
        return BOUNDARY_ROW
    if length <= 8:
        kind = form_kind(scratch.keys, token, length)
    else:
        kind = form_kind(scratch.chunks, scratch.places[np.uint64(token)], length)
    return int(np.int64(tables.kind_rows[np.uint64(kind)]))


@part
def form_kind(chunks: U64, first: int, length: int) -> int:
    """What the ending says of a form that the noun model does not know: number, -ing, -ed, -ly, -er, -s, other."""
    if length > LONGEST_KIND:
        return 6
    digits = 0
    while digits < length and ord("0") <= byte_of(chunks, first, digits) <= ord("9"):
        digits += 1
    if digits == length:
        return 0
    last = byte_of(chunks, first, length - 1)
    if (
        length > 5
        and last == ord("g")
        and byte_of(chunks, first, length - 2) == ord("n")
        and byte_of(chunks, first, length - 3) == ord("i")
    ):
        return 1
    if length > 4:
        before = byte_of(chunks, first, length - 2)
        if before == ord("e") and last == ord("d"):
            return 2
        if before == ord("l") and last == ord("y"):
            return 3
        if before == ord("e") and last == ord("r"):
            return 4
    return 5 if length > 3 and last == ord("s") else 6


@part
def is_capital(byte: int) -> int:
    """Whether this is one of A-Z, as a number."""
    return int(np.uint8(byte - np.uint8(ord("A"))) < 26)


@part
def letter_case(data: U8, begin: int, stop: int) -> int:
    """1 where the byte at `begin` is one of A-Z, 2 where the next one is too, else 0."""
    first = is_capital(data[begin])
    return first + (first & is_capital(data[begin + 1]) if begin + 1 < stop else 0)
