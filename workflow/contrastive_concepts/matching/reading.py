"""From bytes to forms: a caption's words, exactly as `contrastive_concepts.vocabulary.words` defines them."""

import numpy as np

from contrastive_concepts.matching.tables import U8, Scratch, Tables, part
from contrastive_concepts.vocabulary.words import CharacterClass

BREAK, SPACE, WORD, APOSTROPHE, IGNORED = (int(kind) for kind in CharacterClass)
UNKNOWN, PHRASE_BREAK = -1, -2
FIRST_KIND = -3
"""A word that is no form is entered as FIRST_KIND - its kind where nouns are told apart (`form_kind`)."""
LONGEST_KIND = 64
HASH_START, HASH_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@part
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


@part
def peek(data: U8, i: int, stop: int, tables: Tables) -> tuple[int, int, int]:
    """The next character that is not ignored: its class, code point, and the byte after it. BREAK at the end."""
    while i < stop:
        point, size = decode(data, i, stop)
        i += size
        kind = int(np.int64(tables.character_class[point])) if point >= 0 else BREAK
        if kind != IGNORED:
            return kind, point, i
    return BREAK, -1, i


@part
def look_up(word: U8, length: int, code: np.uint64, tables: Tables) -> int:
    """The number of this form, or UNKNOWN. A hash that agrees is verified byte by byte."""
    if length > word.shape[0]:
        return UNKNOWN
    mixed = code * GOLDEN
    mixed ^= mixed >> np.uint64(32)
    mask = np.uint64(tables.slots.shape[0] - 1)
    place = mixed & mask
    while True:
        slot = tables.slots[place]
        if slot == np.uint64(0):
            return UNKNOWN
        if slot >> np.uint64(32) == mixed >> np.uint64(32):
            form = np.int64(slot & np.uint64(0xFFFFFFFF)) - 1
            first = tables.form_offsets[form]
            if tables.form_offsets[form + 1] - first == length:
                k = 0
                while k < length and tables.form_bytes[first + k] == word[k]:
                    k += 1
                if k == length:
                    return int(form)
        place = (place + np.uint64(1)) & mask


@part
def form_kind(word: U8, length: int) -> int:
    """What the ending says of a form that the noun model does not know: number, -ing, -ed, -ly, -er, -s, other."""
    if length > LONGEST_KIND:
        return 6
    digits = 0
    while digits < length and ord("0") <= word[digits] <= ord("9"):
        digits += 1
    if digits == length:
        return 0
    if length > 5 and word[length - 3] == ord("i") and word[length - 2] == ord("n") and word[length - 1] == ord("g"):
        return 1
    if length > 4:
        if word[length - 2] == ord("e") and word[length - 1] == ord("d"):
            return 2
        if word[length - 2] == ord("l") and word[length - 1] == ord("y"):
            return 3
        if word[length - 2] == ord("e") and word[length - 1] == ord("r"):
            return 4
    return 5 if length > 3 and word[length - 1] == ord("s") else 6


@part
def letter_case(data: U8, begin: int, stop: int) -> int:
    """1 where the byte at `begin` is one of A-Z, 2 where the next one is too, else 0."""
    if not ord("A") <= data[begin] <= ord("Z"):
        return 0
    return 2 if begin + 1 < stop and ord("A") <= data[begin + 1] <= ord("Z") else 1


@part
def read_words(
    data: U8, start: int, stop: int, tables: Tables, phrase: bool, tagged: bool, scratch: Scratch
) -> tuple[int, bool]:
    """Write the caption's forms to scratch.sequence: how many entries, and whether all bytes are UTF-8.

    With `phrase`, what is no form is UNKNOWN, and phrase breaks are entered as PHRASE_BREAK. With `tagged`, what is no
    form is entered by its kind, and scratch.cases receives the `letter_case` of each entry. Otherwise all of these are
    left out.
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
    i = begin = start
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
                if length == 0:
                    begin = after
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
            form = look_up(word, length, code, tables)
            if phrase and broken:
                sequence[count] = PHRASE_BREAK
                count += 1
                broken = False
            if tagged:
                scratch.cases[count] = letter_case(data, begin, stop)
                if form < 0:
                    form = FIRST_KIND - form_kind(word, length)
            if form >= 0 or phrase or tagged:
                sequence[count] = form
                count += 1
            length = 0
            code = HASH_START
        broken = broken or kind == BREAK
        i = begin = after
    return count, valid
