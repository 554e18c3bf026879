"""Splits a caption into words, with the same result as `contrastive_concepts.vocabulary.words`.

A word is stored in chunks: eight folded bytes in one integer, the first byte lowest, zeros behind the last byte.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from contrastive_concepts.matching.forms import NO_KEY, key_of, leading_zeros
from contrastive_concepts.matching.tables import U8, U64, Captions, Characters, Rules, Tokens, part
from contrastive_concepts.vocabulary.words import CharacterClass

BREAK, SPACE, WORD, APOSTROPHE, IGNORED = (int(kind) for kind in CharacterClass)
OUTSIDE = 3
"""Letter case of the boundaries before the first word and after the last word."""
CHUNKS_A_BYTE = 2
"""Space for chunks. Folding makes no character more than 16 times as long (U+FDFA: 10 times)."""
BLOCK = 64
ONE, ALL = np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)
ONES = 0x0101010101010101
HIGH = np.uint64(0x80 * ONES)
LOW = np.uint64(0x7F * ONES)
SMALL = np.uint64(0x20 * ONES)
"""The bit that is set in small letters and digits, but not in capitals."""
LEAST, MOST = np.uint64((0x80 - ord("a")) * ONES), np.uint64((0x7F - ord("z")) * ONES)
ZERO, NINE = np.uint64((0x80 - ord("0")) * ONES), np.uint64((0x7F - ord("9")) * ONES)


@intrinsic
def eight_bytes(typing_context: Any, data: Any, place: Any) -> Any:
    """Eight bytes of `data` from `place` on, in memory order. The caller ensures that they exist."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), ir.IntType(64).as_pointer())
        return builder.load(address, align=1, typ=ir.IntType(64))

    return types.uint64(data, types.int64), generate


@intrinsic
def trailing_zeros(typing_context: Any, number: Any) -> Any:
    """Number of zero bits below the lowest set bit; 64 for zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def masks_of_block(typing_context: Any, data: Any, place: Any) -> Any:
    """Five bit masks of the 64 bytes from `place` on, the first byte lowest. The caller ensures that they exist.

    They mark ASCII letters and digits, apostrophes, the letter s, bytes outside ASCII, and capitals.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block, bits = ir.VectorType(ir.IntType(8), BLOCK), ir.IntType(BLOCK)

        def each(value: int) -> Any:
            return ir.Constant(block, [value] * BLOCK)

        def between(values: Any, first: str, last: str) -> Any:
            return builder.icmp_unsigned("<=", builder.sub(values, each(ord(first))), each(ord(last) - ord(first)))

        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), block.as_pointer())
        found = builder.load(address, align=1, typ=block)
        small = builder.or_(found, each(0x20))
        words = builder.or_(between(small, "a", "z"), between(found, "0", "9"))
        apostrophes = builder.or_(between(found, "'", "'"), between(found, "`", "`"))
        foreign = builder.icmp_signed("<", found, each(0))
        capitals = between(found, "A", "Z")
        masks = [
            builder.bitcast(mask, bits) for mask in (words, apostrophes, between(small, "s", "s"), foreign, capitals)
        ]
        return context.make_tuple(builder, signature.return_type, masks)

    return types.UniTuple(types.uint64, 5)(data, types.int64), generate  # type: ignore[no-untyped-call]


@part
def read_tokens(
    captions: Captions, row: int, rules: Rules, characters: Characters, tokens: Tokens, token: int, place: int
) -> tuple[int, int, bool]:
    """Write a caption's words to the tokens from `token` on, and their chunks from `place` on.

    Returns the next free token and place, and whether all bytes are UTF-8.
    """
    i = captions.starts[row]
    if not rules.phrase:
        token, place, i = read_plain_words(captions, row, tokens, token, place)
    return read_any_words(captions.data, i, captions.stops[row], characters, tokens, token, place)


@part
def note_boundary(tokens: Tokens, token: int) -> None:
    """Write a boundary: before a caption's first token and behind its last, if nouns are told apart."""
    tokens.keys[token] = NO_KEY
    tokens.lengths[token] = 0
    tokens.cases[token] = OUTSIDE
    tokens.broken[token] = False


@part
def read_plain_words(captions: Captions, row: int, tokens: Tokens, token: int, place: int) -> tuple[int, int, int]:
    """Read plain ASCII words, 64 bytes at a time. Without this the stage takes 9 to 14 % longer.

    Returns the next free token and place in `chunks`, and the byte where `read_any_words` must continue. This is the
    first block of 64 bytes that has a byte outside ASCII, or an apostrophe within a word other than a closing 's, or
    that is a single word, or that reaches beyond `data`.
    """
    data, stop = captions.data, captions.stops[row]
    at = captions.starts[row]
    # Eight bytes more than the block, because the chunk of its last word can reach beyond it.
    while at < stop and at + BLOCK + 8 <= data.shape[0]:
        masks = masks_of_block(data, at)  # type: ignore[call-arg,var-annotated]
        words, apostrophes, foreign, capitals = masks[0], masks[1], masks[3], masks[4]
        after = min(stop - at, BLOCK)
        if after < BLOCK:
            within = (ONE << np.uint64(after)) - ONE
        else:
            # The last word can continue in the next block, so the next block begins with it.
            after -= leading_zeros(~(words | apostrophes))
            if after == 0:
                break
            within = ALL >> np.uint64(BLOCK - after)
        words &= within
        if foreign & within:
            break
        joining = apostrophes & words << ONE & words >> ONE
        if joining:
            closing = joining << ONE & masks[2] & ~(words >> ONE)
            if joining << ONE != closing or joining & joining << np.uint64(2):
                break
            words &= ~closing
        begins, ends = words & ~(words << ONE), ~words & (words << ONE)
        capitals &= within
        while begins:
            first = trailing_zeros(begins)
            begin, length = at + first, trailing_zeros(ends) - first
            begins &= begins - ONE
            ends &= ends - ONE
            chunk = folded(eight_bytes(data, begin), min(length, 8))
            capital = capitals >> np.uint64(first)
            tokens.keys[token] = chunk
            tokens.lengths[token] = length
            tokens.cases[token] = (capital & ONE) + (capital & capital >> ONE & ONE)
            if length > 8:
                tokens.places[token] = place
                size = (length + 7) >> 3
                for k in range(size):
                    chunk = eight_bytes(data, begin + 8 * k)
                    tokens.chunks[place + k] = folded(chunk, min(length - 8 * k, 8))
                tokens.keys[token] = key_of(tokens.chunks, place, size)
                place += size
            token += 1
        at += after
    return token, place, at


@part
def folded(chunk: np.uint64, length: int) -> np.uint64:
    """The first `length` bytes (1 to 8, letters and digits) in lower case, zeros behind them."""
    return np.uint64((chunk | SMALL) & (ALL >> np.uint64(64 - 8 * length)))


@part
def read_any_words(
    data: U8, i: int, stop: int, characters: Characters, tokens: Tokens, token: int, place: int
) -> tuple[int, int, bool]:
    """Read the words of data[i:stop] in any script, as `read_tokens` does and with the same result."""
    valid, broken = True, False
    while i < stop:
        begin, kind = i, BREAK
        length = read_plain_word(data, begin, stop, tokens.word)
        i += length + 1
        if i <= stop:
            byte = data[i - 1]
            kind = int(np.int64(characters.classes[byte])) if byte < 0x80 else WORD
            if kind >= WORD:
                length, begin, i, kind, fine = read_any_word(data, begin, stop, characters, tokens.word)
                valid = valid and fine
        if length > 0:
            tokens.broken[token] = broken
            tokens.cases[token] = letter_case(data, begin, stop)
            place = note_word(tokens, token, place, length)
            token += 1
            broken = False
        broken = broken or kind == BREAK
    return token, place, valid


@part
def read_plain_word(data: U8, begin: int, stop: int, word: U64) -> int:
    """Write the ASCII letters and digits from `begin` on, folded, to `word`. Returns their number.

    What has no room in `word` is counted, but not written. Reads eight bytes at a time; otherwise the stage takes 24 %
    longer in phrase mode.
    """
    length = 0
    while True:
        chunk = chunk_at(data, begin + length)
        more = min(leading_letters(chunk), stop - begin - length)
        if more > 0 and length < 8 * word.shape[0]:
            word[length >> 3] = folded(chunk, more)
        length += more
        if more < 8:
            return length


@part
def chunk_at(data: U8, place: int) -> np.uint64:
    """Eight bytes as a chunk, with zeros beyond the end of the data."""
    if place + 8 <= data.shape[0]:
        return np.uint64(eight_bytes(data, place))  # type: ignore[call-arg]
    chunk = np.uint64(0)
    for k in range(data.shape[0] - place):
        chunk |= np.uint64(data[place + k]) << np.uint64(8 * k)
    return chunk


@part
def leading_letters(chunk: np.uint64) -> int:
    """Number of ASCII letters or digits at the start of a chunk, 0 to 8."""
    low = chunk & LOW
    small = low | SMALL
    letters = (small + LEAST) & ~(small + MOST)
    digits = (low + ZERO) & ~(low + NINE)
    others = ~((letters | digits) & ~chunk) & HIGH
    return int(trailing_zeros(others) >> 3)  # type: ignore[call-arg]


@part
def read_any_word(data: U8, i: int, stop: int, characters: Characters, word: U64) -> tuple[int, int, int, int, bool]:
    """Write the next word to `word`.

    Returns its length (0 if no word begins at byte i), its first byte, the byte behind the character that ends it, the
    class of that character, and whether all bytes are UTF-8.
    """
    folding, folding_offsets = characters.folding, characters.folding_offsets
    begin, length, valid = i, 0, True
    while i < stop:
        point, size = decode(data, i, stop)
        after = i + size
        kind = int(np.int64(characters.classes[point])) if point >= 0 else BREAK
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
            follower, letter, behind = peek(data, after, stop, characters)
            if follower == WORD:
                first = folding_offsets[letter]
                is_s = folding_offsets[letter + 1] - first == 1 and folding[first] == ord("s")
                if not is_s or peek(data, behind, stop, characters)[0] == WORD:
                    i = after
                    continue
                after = behind
        return length, begin, after, kind, valid
    return length, begin, stop, BREAK, valid


@part
def peek(data: U8, i: int, stop: int, characters: Characters) -> tuple[int, int, int]:
    """Class and code point of the next character that is not ignored, and the byte behind it. BREAK at the end."""
    while i < stop:
        point, size = decode(data, i, stop)
        i += size
        kind = int(np.int64(characters.classes[point])) if point >= 0 else BREAK
        if kind != IGNORED:
            return kind, point, i
    return BREAK, -1, i


@part
def decode(data: U8, i: int, stop: int) -> tuple[int, int]:
    """The code point at byte i and its length in bytes, or (-1, 1) if the bytes are not UTF-8 (RFC 3629)."""
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
def append(word: U64, length: int, byte: int) -> int:
    """Append a byte to a word if there is room. Returns the new length in both cases."""
    k = length >> 3
    if k < word.shape[0]:
        before = word[k] if length & 7 else np.uint64(0)
        word[k] = before | np.uint64(byte) << np.uint64(8 * (length & 7))
    return length + 1


@part
def note_word(tokens: Tokens, token: int, place: int, length: int) -> int:
    """Write the word in tokens.word, `length` bytes long, to a token. Returns the next free place for chunks.

    A word that has no room in tokens.word is longer than every form, and too long for `form_kind`.
    """
    size = (length + 7) >> 3
    tokens.lengths[token] = length
    tokens.places[token] = place
    if size > tokens.word.shape[0]:
        tokens.keys[token] = NO_KEY
        return place
    tokens.keys[token] = key_of(tokens.word, 0, size)
    if size == 1:
        return place
    for k in range(size):
        tokens.chunks[place + k] = tokens.word[k]
    return place + size


@part
def letter_case(data: U8, begin: int, stop: int) -> int:
    """0 if the byte at `begin` is not A-Z, 1 if it is, 2 if the next byte is A-Z too."""
    if not ord("A") <= data[begin] <= ord("Z"):
        return 0
    return 2 if begin + 1 < stop and ord("A") <= data[begin + 1] <= ord("Z") else 1
