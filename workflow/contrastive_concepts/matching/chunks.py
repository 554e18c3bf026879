"""Words as chunks: eight folded bytes in one integer, the first byte lowest, zeros after the word's last."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from contrastive_concepts.matching.tables import U8, U64, part

ONES = 0x0101010101010101
HIGH = np.uint64(0x80 * ONES)
LOW = np.uint64(0x7F * ONES)
SMALL = np.uint64(0x20 * ONES)
"""The bit by which a small letter differs from its capital; digits have it."""
LEAST, MOST = np.uint64((0x80 - ord("a")) * ONES), np.uint64((0x7F - ord("z")) * ONES)
ZERO, NINE = np.uint64((0x80 - ord("0")) * ONES), np.uint64((0x7F - ord("9")) * ONES)


@intrinsic
def eight_bytes(typing_context: Any, data: Any, place: Any) -> Any:
    """The bytes of `data` from `place` on as they lie in memory; the caller sees to it that there are eight."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), ir.IntType(64).as_pointer())
        return builder.load(address, align=1, typ=ir.IntType(64))

    return types.uint64(data, types.int64), generate


@intrinsic
def trailing_zeros(typing_context: Any, number: Any) -> Any:
    """Number of zero bits below the lowest set one, 64 of zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def leading_zeros(typing_context: Any, number: Any) -> Any:
    """Number of zero bits above the highest set one, 64 of zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def reversed_bytes(typing_context: Any, number: Any) -> Any:
    """The same eight bytes, the last one first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bswap(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def fetch(typing_context: Any, array: Any, place: Any) -> Any:
    """Have what lies there brought into the cache, while other work is done; a place beyond the array does no harm."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(values.data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")  # type: ignore[no-untyped-call]
        builder.call(prefetch, [address, *(ir.Constant(number, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.uint64), generate


@part
def chunk_at(data: U8, place: int) -> np.uint64:
    """Eight bytes as a chunk, zeros where the data ends."""
    if place + 8 <= data.shape[0]:
        return np.uint64(eight_bytes(data, place))  # type: ignore[call-arg]
    chunk = np.uint64(0)
    for k in range(data.shape[0] - place):
        chunk |= np.uint64(data[place + k]) << np.uint64(8 * k)
    return chunk


@part
def leading_letters(chunk: np.uint64) -> int:
    """How many bytes at the start are ASCII letters or digits, 0 to 8."""
    low = chunk & LOW
    small = low | SMALL
    letters = (small + LEAST) & ~(small + MOST)
    digits = (low + ZERO) & ~(low + NINE)
    others = ~((letters | digits) & ~chunk) & HIGH
    return int(trailing_zeros(others) >> 3)  # type: ignore[call-arg]


@part
def folded(chunk: np.uint64, length: int) -> np.uint64:
    """The first `length` bytes, 1 to 8, letters and digits, as small letters; zeros behind."""
    return np.uint64((chunk | SMALL) & (np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - 8 * length)))


@part
def byte_of(chunks: U64, first: int, k: int) -> int:
    """One byte of the word whose chunks begin at `first`."""
    return int(np.int64(chunks[np.uint64(first + (k >> 3))] >> np.uint64(8 * (k & 7)) & np.uint64(0xFF)))


@part
def append(word: U64, length: int, byte: int) -> int:
    """Write a byte behind a word where there is room; returns the length with it, in any case."""
    if length < 8 * word.shape[0]:
        k = np.uint64(length >> 3)
        before = word[k] if length & 7 else np.uint64(0)
        word[k] = before | np.uint64(byte) << np.uint64(8 * (length & 7))
    return length + 1


@part
def read_plain_word(data: U8, begin: int, stop: int, word: U64) -> int:
    """Write the ASCII letters and digits from `begin` on, folded, to `word` as far as it has room; how many."""
    length = 0
    while True:
        chunk = chunk_at(data, begin + length)
        more = min(leading_letters(chunk), stop - begin - length)
        if more > 0 and length < 8 * word.shape[0]:
            word[np.uint64(length >> 3)] = folded(chunk, more)
        length += more
        if more < 8:
            return length
