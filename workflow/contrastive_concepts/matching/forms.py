"""A perfect hash table of surface forms: a form can be in one slot only, so a lookup reads one slot.

A form of at most eight bytes is its own key; a longer one has a code of all its chunks for a key, and is compared to
the end. A key's bucket has a displacement, chosen when the table is made so that no two keys share a place ("hash and
displace"): the table can be nearly full, and a word that is no form costs no second look. With linear probing
the stage takes 11 to 14 % longer.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from contrastive_concepts.matching.tables import U32, U64, Forms, jit, part

GOLDEN, PRIME = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x100000001B3)
NO_TEXT = np.uint64(0xFF << 56)
"""Set in the keys of long forms. UTF-8 has no byte 0xFF, so no short form has such a key."""
ONE, WORD_BITS = np.uint64(1), np.uint64(0x7FFFFFFF)
NO_KEY = np.uint64(0)
"""Key of an empty slot. No form has it."""
SEEDS = 64
"""Number of seeds that are tried before the table is doubled."""


@intrinsic
def leading_zeros(typing_context: Any, number: Any) -> Any:
    """Number of zero bits above the highest set bit; 64 for zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def reversed_bytes(typing_context: Any, number: Any) -> Any:
    """The eight bytes in reverse order."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bswap(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def fetch(typing_context: Any, array: Any, place: Any) -> Any:
    """Prefetch an element into the cache. An index outside the array is harmless."""

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
def key_of(chunks: U64, first: int, size: int) -> np.uint64:
    """Key of a word in the table. Its chunks are chunks[first : first + size]."""
    code = chunks[first]
    if size == 1:
        return np.uint64(code)
    code *= GOLDEN
    for k in range(first + 1, first + size):
        code = (code ^ chunks[k]) * PRIME
    return np.uint64((code ^ code >> np.uint64(32)) | NO_TEXT)


@part
def upper_bits(product: np.uint64, numbers: int) -> np.uint64:
    """The upper bits of a product, which depend on all bits of its factors. Below `numbers`, a power of 2."""
    return np.uint64(product >> np.uint64(leading_zeros(np.uint64(numbers)) + 1))  # type: ignore[call-arg]


@part
def bucket_of(key: np.uint64, seed: np.uint64, buckets: int) -> np.uint64:
    """Index of a key's displacement. The seed must be odd."""
    return upper_bits(key * seed, buckets)


@part
def place_of(key: np.uint64, seed: np.uint64, displacement: np.uint32, places: int) -> np.uint64:
    """Index of a key's slot: from other bits than its bucket, changed by the bucket's displacement."""
    return np.uint64(upper_bits(reversed_bytes(key) * seed, places) ^ np.uint64(displacement)) << ONE  # type: ignore[call-arg]


@part
def fetch_displacement(key: np.uint64, forms: Forms) -> None:
    """Prefetch a key's displacement."""
    fetch(forms.displacements, bucket_of(key, forms.seed[0], forms.displacements.shape[0]))  # type: ignore[call-arg]


@part
def fetch_slot(key: np.uint64, forms: Forms) -> None:
    """Prefetch a key's slot."""
    fetch(forms.slots, slot_of(key, forms))  # type: ignore[call-arg]


@part
def slot_of(key: np.uint64, forms: Forms) -> np.uint64:
    """Index of the only slot that can hold a key."""
    displacement = forms.displacements[bucket_of(key, forms.seed[0], forms.displacements.shape[0])]
    return place_of(key, forms.seed[0], displacement, forms.slots.shape[0] >> 1)


@part
def look_up(key: np.uint64, length: int, chunks: U64, first: int, forms: Forms) -> np.uint64:
    """The entry of a form (see `entry`), or 0 if the table does not have it.

    length: in bytes. The chunks of a form longer than 8 bytes begin at chunks[first].
    """
    place = slot_of(key, forms)
    value = forms.slots[place | ONE]
    found = np.uint64(value * (np.uint64(forms.slots[place] == key) & (~value ^ np.uint64(length > 8))))
    if length <= 8 or found == 0:
        return found
    number = found >> ONE
    begin = np.int64(forms.long_offsets[number])
    size = (length + 7) >> 3
    if np.int64(forms.long_offsets[number + ONE]) - begin != size:
        return np.uint64(0)
    for k in range(size):
        if forms.long_chunks[begin + k] != chunks[first + k]:
            return np.uint64(0)
    return np.uint64(forms.long_entries[number])


@part
def word_of(entry: np.uint64) -> int:
    """The vocabulary word of an entry, or -1."""
    return int(np.int64((entry >> ONE) & WORD_BITS) - 1)


@part
def row_of(entry: np.uint64) -> int:
    """The noun model's row of an entry, or 0."""
    return int(np.int64(entry >> np.uint64(32)))


def entry(word: int, row: int) -> int:
    """What the table stores for a form: its word (-1: none) and its row in the noun model. The lowest bit is 0."""
    return (word + 1) << 1 | row << 32


def chunks_of(form: bytes) -> npt.NDArray[np.uint64]:
    """A folded form as chunks of eight bytes."""
    return np.frombuffer(_padded(form), "<u8").astype(np.uint64)


def _padded(form: bytes) -> bytes:
    return form.ljust(-(-len(form) // 8) * 8, b"\0")


def form_arrays(forms: Sequence[bytes], entries: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
    """Build the arrays of `Forms` for distinct folded forms. Raises ValueError if two forms have the same key."""
    sizes = np.array([-(-len(form) // 8) for form in forms], np.int64)
    chunks = chunks_of(b"".join(map(_padded, forms)))
    first = np.cumsum(sizes) - sizes
    keys = _keys(chunks, first, sizes)
    if len(np.unique(keys)) < len(keys):
        raise ValueError("two forms have one key")
    [long] = np.nonzero(sizes > 1)
    packed = np.array(entries, np.uint64)
    values = packed.copy()
    values[long] = np.arange(len(long), dtype=np.uint64) << ONE | ONE
    return {
        **_placed(keys, values),
        "long_offsets": np.cumsum([0, *sizes[long]]).astype(np.int32),
        "long_chunks": chunks[np.repeat(sizes > 1, sizes)],
        "long_entries": packed[long],
    }


def _keys(chunks: U64, first: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> U64:
    """`key_of` many forms at once: chunk after chunk of those that have one more."""
    codes = chunks[first]
    of_long = np.flatnonzero(sizes > 1)
    codes[of_long] *= GOLDEN
    for k in range(1, sizes.max(initial=1)):
        longer = np.flatnonzero(sizes > k)
        codes[longer] = (codes[longer] ^ chunks[first[longer] + k]) * PRIME
    codes[of_long] = (codes[of_long] ^ codes[of_long] >> np.uint64(32)) | NO_TEXT
    return codes


def _placed(keys: U64, values: U64) -> dict[str, npt.NDArray[Any]]:
    """Find a seed and displacements that give every key a slot of its own. Returns them with the filled slots."""
    places = 1 << max(6, (len(keys) * 5 // 4).bit_length())
    generator = np.random.default_rng(0)
    while True:
        for seed in generator.integers(0, 1 << 63, SEEDS, np.uint64) * np.uint64(2) + ONE:
            displacements, slots = np.zeros(places // 4, np.uint32), np.zeros(2 * places, np.uint64)
            buckets = np.empty(len(keys), np.int64)
            _buckets(keys, seed, places // 4, buckets)
            # The fullest buckets are placed first, while most slots are free.
            order = np.lexsort((buckets, -np.bincount(buckets, minlength=places // 4)[buckets]))
            if _displace(keys[order], values[order], buckets[order], seed, displacements, slots):
                return {"seed": np.array([seed]), "displacements": displacements, "slots": slots}
        places *= 2


@jit
def _buckets(keys: U64, seed: np.uint64, buckets: int, found: npt.NDArray[np.int64]) -> None:
    """Write the bucket of each key to `found`."""
    for k in range(keys.shape[0]):
        found[k] = np.int64(bucket_of(keys[k], seed, buckets))


@jit
def _displace(
    keys: U64, values: U64, buckets: npt.NDArray[np.int64], seed: np.uint64, displacements: U32, slots: U64
) -> bool:
    """Place the keys, those of a bucket one after the other; False where some bucket finds no places.

    An empty slot has a value of 0; no form's is.
    """
    first = 0
    while first < keys.shape[0]:
        last = first
        while last < keys.shape[0] and buckets[last] == buckets[first]:
            last += 1
        displacement = 0
        while True:
            placed = first
            while placed < last:
                place = place_of(keys[placed], seed, np.uint32(displacement), slots.shape[0] >> 1)
                if slots[place | ONE] != 0:
                    break
                slots[place] = keys[placed]
                slots[place | ONE] = values[placed]
                placed += 1
            if placed == last:
                break
            for k in range(first, placed):
                slots[place_of(keys[k], seed, np.uint32(displacement), slots.shape[0] >> 1) | ONE] = 0
            displacement += 1
            if 2 * displacement == slots.shape[0]:
                return False
        displacements[buckets[first]] = displacement
        first = last
    return True
