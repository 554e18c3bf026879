"""From bytes to forms: a caption's words, exactly as `contrastive_concepts.vocabulary.words` defines them."""

import numpy as np

from contrastive_concepts.matching.chunks import append, read_plain_word
from contrastive_concepts.matching.plain import read_plain_words
from contrastive_concepts.matching.tables import U8, U64, Scratch, Tables, part
from contrastive_concepts.matching.tokens import letter_case, note_word
from contrastive_concepts.vocabulary.words import CharacterClass

BREAK, SPACE, WORD, APOSTROPHE, IGNORED = (int(kind) for kind in CharacterClass)


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
def read_any_word(data: U8, i: int, stop: int, tables: Tables, word: U64) -> tuple[int, int, int, int, bool]:
    """Write the next word, of any letters, to `word`, up to what ends it.

    Its length (0 where byte i begins no word), its first byte, the byte after what ends it, the class of that, and
    whether all bytes are UTF-8.
    """
    folding, folding_offsets = tables.folding, tables.folding_offsets
    begin, length, valid = i, 0, True
    while i < stop:
        point, size = decode(data, i, stop)
        after = i + size
        kind = int(np.int64(tables.character_class[point])) if point >= 0 else BREAK
        valid = valid and point >= 0
        if kind == WORD:
            for k in range(folding_offsets[point], folding_offsets[point + 1]):
                length = append(word, length, folding[k])
            i = after
            continue
        if kind == IGNORED:
            i = after
            if length == 0:
                begin = after
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
        return length, begin, after, kind, valid
    return length, begin, stop, BREAK, valid


@part
def read_words(
    data: U8,
    start: int,
    stop: int,
    tables: Tables,
    phrase: bool,
    tagged: bool,
    scratch: Scratch,
    token: int,
    place: int,
) -> tuple[int, int, bool]:
    """Note a caption's words as tokens from `token` on, their chunks from `place` on.

    Returns the token and the place behind them, and whether all bytes are UTF-8.
    """
    word = scratch.word
    i = start
    if not phrase:
        token, place, i = read_plain_words(data, start, stop, tagged, scratch, token, place)
    valid = True
    broken = False
    while i < stop:
        begin = i
        length = read_plain_word(data, begin, stop, word)
        after = begin + length + 1
        kind = BREAK
        if after <= stop:
            byte = data[np.uint64(after - 1)]
            kind = int(np.int64(tables.character_class[np.uint64(byte)])) if byte < 0x80 else WORD
            if kind >= WORD:
                length, begin, after, kind, fine = read_any_word(data, begin, stop, tables, word)
                valid = valid and fine
        if length > 0:
            case = letter_case(data, begin, stop) if tagged else 0
            place = note_word(token, place, length, case, broken, scratch)
            token += 1
            broken = False
        broken = broken or kind == BREAK
        i = after
    return token, place, valid
