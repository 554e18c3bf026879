"""From bytes to forms: a caption's words, exactly as `contrastive_concepts.vocabulary.words` defines them."""

import numpy as np

from contrastive_concepts.matching.chunks import append, read_plain_word
from contrastive_concepts.matching.forms import look_up, word_of
from contrastive_concepts.matching.plain import read_plain_words
from contrastive_concepts.matching.tables import U8, U64, Scratch, Tables, part
from contrastive_concepts.matching.tokens import note_token
from contrastive_concepts.vocabulary.words import CharacterClass

BREAK, SPACE, WORD, APOSTROPHE, IGNORED = (int(kind) for kind in CharacterClass)
UNKNOWN, PHRASE_BREAK = -1, -2


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
    count: int,
    tokens: int,
) -> tuple[int, int, bool]:
    """Write a caption's words to scratch.sequence behind `count` entries: how many are there then, and tokens behind
    the one numbered `tokens`, and whether all bytes are UTF-8.

    With `phrase`, what is no word of a concept is entered as UNKNOWN, and phrase breaks as PHRASE_BREAK; otherwise both
    are left out. With `tagged`, every word of the caption is noted as a token, see `note_token`.
    """
    word, sequence = scratch.word, scratch.sequence
    i = start
    if not phrase:
        count, tokens, i = read_plain_words(data, start, stop, tables, tagged, scratch, count, tokens)
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
            if phrase and broken:
                sequence[count] = PHRASE_BREAK
                count += 1
                broken = False
            form = look_up(word, length, tables)
            sequence[np.uint64(count)] = word_of(form)
            if tagged:
                tokens += 1
                note_token(tokens, count, form, length, data, begin, stop, tables, scratch)
            count += int(phrase) | int(sequence[np.uint64(count)] >= 0)
        broken = broken or kind == BREAK
        i = after
    return count, tokens, valid
