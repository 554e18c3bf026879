"""Read an untrusted pickle: only builtin containers, numpy arrays and torch CPU tensors are allowed."""

import io
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from contrastive_concepts.errors import UserError, one_line

MOST_TUPLES = 10_000
STORAGES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip


_NDARRAY = object()
"""Placeholder for numpy.ndarray, which pickles refer to but never call."""


def load_restricted(path: Path, unknown: Callable[[str, str], Any] | None = None) -> Any:
    """The object in a pickle. Only a short list of functions is called, and the allocated memory is bounded by the
    file's size. Tensors are returned as arrays.

    unknown: returns a replacement for any other global, from its module and name. Raises UserError if the file is not a
    pickle or is truncated or, without `unknown`, if it refers to any other global; the message names it.
    """
    try:
        with path.open("rb") as file:
            check_opcodes(file, path.stat().st_size)
            file.seek(0)
            return _Restricted(file, path, unknown).load()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"{path}: asks for more memory than there is, expected a pickle of its file's size") from None
    except Exception as error:  # a pickle is a program: a damaged one can raise anything
        raise UserError(f"{path}: not a whole pickle ({one_line(error)})") from None


def check_opcodes(file: IO[bytes], size: int, most_tuples: int = MOST_TUPLES) -> None:
    """Scan the opcodes of one pickle without running it. Raises ValueError if memo indices or the number of tuples are
    too large: CPython's memo grows with the largest index, and its hash of nested tuples recurses."""
    tuples = 0
    for opcode, argument, _ in pickletools.genops(file):
        tuples += opcode.name.startswith("TUPLE")
        if argument is not None and opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument) > size:
            raise ValueError(f"found object number {argument} in {size} bytes")
        if tuples > most_tuples:
            raise ValueError(f"found more than {most_tuples} tuples")


class _Restricted(pickle.Unpickler):
    def __init__(self, file: io.BufferedReader, path: Path, unknown: Callable[[str, str], Any] | None) -> None:
        super().__init__(file, encoding="latin1")
        self._path = path
        self._unknown = unknown
        self._size = path.stat().st_size

    def find_class(self, module: str, name: str) -> Any:
        admitted = plain_names() | {
            ("torch._utils", "_rebuild_tensor_v2"): self._rebuild_tensor,
            ("torch.storage", "_load_from_bytes"): partial(_storage),
        }
        if (module, name) not in admitted and self._unknown is not None:
            return self._unknown(module, name)
        if (module, name) not in admitted:
            raise UserError(
                f"{self._path}: found {module}.{name}, expected builtin containers, numpy arrays, torch CPU tensors"
            )
        return admitted[module, name]

    def persistent_load(self, identifier: Any) -> Any:
        raise UserError(f"{self._path}: found a reference to data outside of the file, expected a plain pickle")

    def _rebuild_tensor(
        self, storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
    ) -> "np.ndarray[Any, Any]":
        """The tensor as an array. The file's size bounds its bytes: strides can repeat a storage without limit."""
        values: np.ndarray[Any, Any] = storage
        count = int(np.prod(size, dtype=object)) if size else 1
        if count * values.itemsize > self._size:
            raise UserError(f"{self._path}: found a tensor of {count} numbers, expected no more than the file holds")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if count and not (0 <= offset <= last < len(values) and min(stride, default=0) >= 0):
            raise UserError(f"{self._path}: found a tensor of shape {tuple(size)} outside of its storage")
        view = np.lib.stride_tricks.as_strided(
            values[offset:], tuple(size), tuple(step * values.itemsize for step in stride)
        )
        return view.copy()


def _encode(text: str, encoding: str = "latin1", *_: Any) -> bytes:
    """Replaces codecs.encode, with which protocol 2 writes bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"found bytes in {encoding}, expected latin1")
    return text.encode("latin1")


def _reconstruct(kind: Any, shape: tuple[int, ...], code: Any) -> "np.ndarray[Any, Any]":
    """An empty array, which is filled when its state is set."""
    if kind is not _NDARRAY or tuple(shape) != (0,):
        raise ValueError(f"found an array of shape {tuple(shape)} before its data, expected (0,)")
    return np.ndarray((0,), np.int8)


def _dtype(code: Any, align: bool = False, copy: bool = False) -> "np.dtype[Any]":
    # A copy, because the pickle sets the state of this object, and numpy shares one float32 dtype.
    kind: np.dtype[Any] = np.dtype(code, copy=True)
    if kind.itemsize > 1024:
        raise ValueError(f"found elements of {kind.itemsize} bytes, expected numbers or short strings")
    return kind


def _scalar(kind: "np.dtype[Any]", data: Any = None) -> Any:
    if isinstance(data, str):
        data = data.encode("latin1")
    if kind.hasobject or not isinstance(data, bytes) or len(data) != kind.itemsize:
        raise ValueError("found a scalar without its bytes")
    return np.frombuffer(data, kind)[0]


def _frombuffer(data: Any, kind: "np.dtype[Any]", shape: tuple[int, ...], order: str) -> "np.ndarray[Any, Any]":
    if kind.hasobject:
        raise ValueError("found an array of objects, expected numbers")
    return np.frombuffer(data, kind).reshape(shape, order=order)  # type: ignore[call-overload,no-any-return]


def _storage(data: bytes) -> "np.ndarray[Any, Any]":
    """Read torch's stream of a CPU storage: magic number, version, system, description, keys, then length and bytes."""
    stream = io.BytesIO(data)
    parts = []
    for _ in range(5):
        start = stream.tell()
        check_opcodes(stream, len(data))
        stream.seek(start)
        parts.append(_StorageStream(stream).load())
    description = parts[3]
    if not isinstance(description, np.dtype):
        raise ValueError("found a tensor without a known storage")
    length = int.from_bytes(stream.read(8), "little")
    content = stream.read()
    if len(content) != length * description.itemsize:
        raise ValueError(f"found {len(content)} bytes of a tensor, expected {length * description.itemsize}")
    return np.frombuffer(content, description)


class _StorageStream(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module != "torch" or name not in STORAGES:
            raise ValueError(f"found {module}.{name} in a tensor, expected a storage of numbers")
        return np.dtype(STORAGES[name], copy=True)

    def persistent_load(self, identifier: Any) -> Any:
        """The dtype of a storage. `identifier`: ("storage", type, key, device, length, view)."""
        if identifier[3] != "cpu":
            raise ValueError(f"found a tensor on {identifier[3]}, expected one on the cpu")
        return identifier[1]


def plain_names() -> dict[tuple[str, str], Any]:
    """The globals that are allowed in any pickle, by module and name: builtin containers and numpy arrays.

    The dictionary is created for each lookup, because a pickle can set attributes on the objects."""
    cores = [f"numpy.{core}" for core in ("core", "_core")]
    return {
        **{(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in (set, frozenset)},
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): partial(_encode),
        ("numpy", "ndarray"): _NDARRAY,
        ("numpy", "dtype"): partial(_dtype),
        **{(f"{core}.multiarray", "_reconstruct"): partial(_reconstruct) for core in cores},
        **{(f"{core}.multiarray", "scalar"): partial(_scalar) for core in cores},
        **{(f"{core}.numeric", "_frombuffer"): partial(_frombuffer) for core in cores},
    }
