"""Plain ASCII in words, 64 bytes at a time: most of English captions, by the shorter way."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from contrastive_concepts.matching.chunks import eight_bytes, folded, leading_zeros, trailing_zeros
from contrastive_concepts.matching.forms import look_up, word_of
from contrastive_concepts.matching.tables import U8, Scratch, Tables, part
from contrastive_concepts.matching.tokens import note_token

BLOCK = 64
ONE = np.uint64(1)


@intrinsic
def masks_of_block(typing_context: Any, data: Any, place: Any) -> Any:
    """Four masks of the 64 bytes from `place` on, the first byte lowest; the caller sees to it that there are as many.

    Where ASCII letters and digits are, apostrophes, the letter s, and bytes that are not ASCII.
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
        masks = [builder.bitcast(mask, bits) for mask in (words, apostrophes, between(small, "s", "s"), foreign)]
        return context.make_tuple(builder, signature.return_type, masks)

    return types.UniTuple(types.uint64, 4)(data, types.int64), generate  # type: ignore[no-untyped-call]


@part
def read_plain_words(
    data: U8, start: int, stop: int, tables: Tables, tagged: bool, scratch: Scratch, count: int, tokens: int
) -> tuple[int, int, int]:
    """As `read_words` in a bag: the entries and tokens then, and where `read_words` must go on.

    That is where 64 bytes hold what only it understands (bytes that are not ASCII, an apostrophe within a word but for
    a closing 's), where they are a single word, or where `data` ends.
    """
    word, sequence = scratch.word, scratch.sequence
    place = start
    # Eight more than the block, as a word's last chunk may reach beyond it.
    while place < stop and place + BLOCK + 8 <= data.shape[0]:
        masks = masks_of_block(data, place)  # type: ignore[call-arg,var-annotated]
        words, apostrophes, foreign = masks[0], masks[1], masks[3]
        after = min(stop - place, BLOCK)
        if after < BLOCK:
            within = (ONE << np.uint64(after)) - ONE
        else:
            # What stands at the block's end may go on behind it: the next block begins with it.
            after -= leading_zeros(~(words | apostrophes))
            if after == 0:
                break
            within = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(BLOCK - after)
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
        while begins:
            begin = place + trailing_zeros(begins)
            length = place + trailing_zeros(ends) - begin
            begins &= begins - ONE
            ends &= ends - ONE
            word[0] = folded(eight_bytes(data, begin), min(length, 8))
            if length > 8:
                word[1] = folded(eight_bytes(data, begin + 8), min(length - 8, 8))
                for first in range(16, length, 8):
                    chunk = eight_bytes(data, begin + first)
                    word[np.uint64(first >> 3)] = folded(chunk, min(length - first, 8))
            form = look_up(word, length, tables)
            sequence[np.uint64(count)] = word_of(form)
            if tagged:
                tokens += 1
                note_token(tokens, count, form, length, data, begin, stop, tables, scratch)
            count += int(sequence[np.uint64(count)] >= 0)
        place += after
    return count, tokens, place
