"""Any Arrow array of text as one buffer of bytes and each caption's place in it; the bytes are not copied."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contrastive_concepts.errors import UserError

Places = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]

_WITH_OFFSETS: dict[pa.DataType, type[np.int32 | np.int64]] = {
    pa.string(): np.int32,
    pa.binary(): np.int32,
    pa.large_string(): np.int64,
    pa.large_binary(): np.int64,
}
_VIEWS = (pa.string_view(), pa.binary_view())


def caption_places(captions: pa.Array | pa.ChunkedArray) -> Iterator[Places]:
    """For each chunk the bytes (n,) uint8, and where each caption starts and stops in them, (rows,) int64.

    A null starts and stops at -1. Takes string, large_string, string_view, their binary kin, dictionaries of these,
    sliced or not; only a view's bytes are gathered into one buffer first. Raises UserError for any other type.
    """
    chunks = captions.chunks if isinstance(captions, pa.ChunkedArray) else [captions]
    for chunk in chunks:
        yield _places(chunk)


def _places(array: pa.Array) -> Places:
    if isinstance(array, pa.DictionaryArray):
        data, starts, stops = _places(array.dictionary)
        valid = _valid(array)
        rows = np.where(valid, array.indices.fill_null(0).to_numpy(zero_copy_only=False), 0).astype(np.int64)
        if not len(starts):
            return data, np.full(len(array), -1, np.int64), np.full(len(array), -1, np.int64)
        return data, np.where(valid, starts[rows], -1), np.where(valid, stops[rows], -1)
    if array.type in _VIEWS:
        array = array.cast(pa.large_binary())
    if pa.types.is_null(array.type):
        return np.empty(0, np.uint8), np.full(len(array), -1, np.int64), np.full(len(array), -1, np.int64)
    if array.type not in _WITH_OFFSETS:
        raise UserError(f"captions: found a column of type {array.type}, expected text (string or binary)")
    _, offsets_buffer, data_buffer = array.buffers()
    data = _frozen(data_buffer, np.uint8)
    if not len(array):
        return data, np.empty(0, np.int64), np.empty(0, np.int64)
    offsets = _frozen(offsets_buffer, _WITH_OFFSETS[array.type])[array.offset : array.offset + len(array) + 1]
    starts, stops = offsets[:-1].astype(np.int64), offsets[1:].astype(np.int64)
    if array.null_count:
        starts[~_valid(array)] = stops[~_valid(array)] = -1
    return data, starts, stops


def _valid(array: pa.Array) -> npt.NDArray[np.bool_]:
    valid: npt.NDArray[np.bool_] = array.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _frozen(buffer: pa.Buffer | None, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """A view that is read-only in any case, so that the kernel is compiled for one type."""
    view = np.frombuffer(buffer, dtype) if buffer is not None and buffer.size else np.empty(0, dtype)
    view.flags.writeable = False
    return view
