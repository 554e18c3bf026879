"""Plain ASCII in words, 64 bytes at a time: most of English captions, by the shorter way."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from contrastive_concepts.matching.chunks import eight_bytes, folded, leading_zeros, trailing_zeros
from contrastive_concepts.matching.forms import key_of
from contrastive_concepts.matching.tables import U8, Scratch, part
from contrastive_concepts.matching.tokens import CASE_BITS

BLOCK = 64
ONE = np.uint64(1)


@intrinsic
def masks_of_block(typing_context: Any, data: Any, place: Any) -> Any:
    """Five masks of the 64 bytes from `place` on, the first byte lowest; the caller sees to it that there are as many.

    Where ASCII letters and digits are, apostrophes, the letter s, bytes that are not ASCII, and capitals.
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
def read_plain_words(
    data: U8, start: int, stop: int, tagged: bool, scratch: Scratch, token: int, place: int
) -> tuple[int, int, int]:
    """As `read_words` in a bag: the token and place then, and where `read_words` must go on.

    That is where 64 bytes hold what only it understands (bytes that are not ASCII, an apostrophe within a word but for
    a closing 's), where they are a single word, or where `data` ends.
    """
    keys, sizes, places, chunks = scratch.keys, scratch.sizes, scratch.places, scratch.chunks
    at = start
    # Eight more than the block, as a word's last chunk may reach beyond it.
    while at < stop and at + BLOCK + 8 <= data.shape[0]:
        masks = masks_of_block(data, at)  # type: ignore[call-arg,var-annotated]
        words, apostrophes, foreign, capitals = masks[0], masks[1], masks[3], masks[4]
        after = min(stop - at, BLOCK)
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
        capitals &= within
        while begins:
            first = trailing_zeros(begins)
            begin, length = at + first, trailing_zeros(ends) - first
            begins &= begins - ONE
            ends &= ends - ONE
            now = np.uint64(token)
            chunk = folded(eight_bytes(data, begin), min(length, 8))
            keys[now] = chunk
            sizes[now] = length << CASE_BITS
            if tagged:
                capital = capitals >> np.uint64(first)
                sizes[now] |= np.int64((capital & ONE) + (capital & capital >> ONE & ONE))
            if length > 8:
                places[now] = place
                chunks[np.uint64(place)] = chunk
                for more in range(8, length, 8):
                    chunk = eight_bytes(data, begin + more)
                    chunks[np.uint64(place + (more >> 3))] = folded(chunk, min(length - more, 8))
                size = (length + 7) >> 3
                keys[now] = key_of(chunks, place, size)
                place += size
            token += 1
        at += after
    return token, place, at
