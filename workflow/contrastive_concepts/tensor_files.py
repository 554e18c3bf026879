"""Read tensors from a checkpoint file with any nesting, without running code that the file refers to.

torch's own reader is used with a restricted unpickler: the functions that rebuild tensors and arrays are allowed, and
every other global is replaced by an inert stand-in."""

import io
import pickle
import pickletools
import tarfile
import zipfile
from collections.abc import Callable, Collection, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.restricted_pickle import check_opcodes, load_restricted, plain_names
from contrastive_concepts.stand_in import leaves, stand_in

MOST_TUPLES = 40_000
LARGEST_GROWTH = 20
"""A zip file is refused if it unpacks to more than this many times its size."""
TORCHSCRIPT = "constants.pkl"
_UNTYPED = object()
"""Placeholder for torch.UntypedStorage, which pickles refer to but never call."""


def read_tensors(path: Path | str, expected: Collection[str], wrapper: str = "") -> dict[str, Tensor]:
    """The state dict in a file, on the CPU: the tensors below the prefix (`model.`, `state_dict.module.`) that has most
    of the expected names.

    If several prefixes have equally many, one that begins with `wrapper` is used, else the first in the file. Raises
    UserError for an unreadable file or if no expected name is found; the message then lists the keys of the file."""
    content = load_inert(Path(path))
    found = {name: tensor for name, value in leaves(content) if (tensor := _tensor(value)) is not None}
    if not found:
        raise UserError(
            f"{path}: found no state dict ({_described(content)}), expected tensors by name, alone or in a wrapper"
        )
    matches: dict[str, int] = {}
    expected = frozenset(expected)
    for name in found:
        parts = name.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in expected:
                prefix = "".join(f"{part}." for part in parts[:cut])
                matches[prefix] = matches.get(prefix, 0) + 1
    if not matches:
        raise UserError(
            f"{path}: found no state dict with the expected names ({_described(content)}; tensors {_first(found)}), "
            f"expected {_first(expected)}"
        )
    best = max(matches, key=lambda prefix: (matches[prefix], bool(wrapper) and prefix.startswith(f"{wrapper}.")))
    return {name.removeprefix(best): tensor for name, tensor in found.items() if name.startswith(best)}


def is_torchscript(path: Path | str) -> bool:
    """Whether a file is a TorchScript program, such as OpenAI's CLIP files. False if the file is not a zip file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rpartition("/")[2] == TORCHSCRIPT for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError):
        return False


def load_inert(path: Path) -> Any:
    """The object in a file of torch.save (zip or older format), pickle, TorchScript or safetensors.

    Raises UserError if it cannot be read."""
    if not path.is_file():
        raise UserError(f"{path}: not found, expected a checkpoint")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if zipfile.is_zipfile(path):
            return _load_zip(path)
        if tarfile.is_tarfile(path):
            raise UserError(f"{path}: found a tar archive, expected a checkpoint of torch 0.4 or later")
        with path.open("rb") as file:
            start = [argument for _, argument, _ in islice(pickletools.genops(file), 3)]
        if torch.serialization.MAGIC_NUMBER in start:
            return _torch_load(path, path.stat().st_size, {})
        return load_restricted(path, _unknown)
    except UserError:
        raise
    except MemoryError:
        raise UserError(
            f"{path}: asks for more memory than there is, expected a checkpoint of its file's size"
        ) from None
    except Exception as error:  # a pickle is a program: a damaged one fails in any way
        raise UserError(f"{path}: cannot be read as a checkpoint ({one_line(error)})") from None


def _load_zip(path: Path) -> Any:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if sum(record.file_size for record in records) > LARGEST_GROWTH * size:
            raise ValueError(f"unpacks to more than {LARGEST_GROWTH} times its size")
        sizes = {record.filename.partition("/data/")[2]: record.file_size for record in records}
        if not any(record.filename.rpartition("/")[2] == TORCHSCRIPT for record in records):
            return _torch_load(path, size, sizes)
        # torch would run a TorchScript archive. Without constants and code it reads as an archive of torch.save.
        plain = io.BytesIO()
        with zipfile.ZipFile(plain, "w") as target:
            for record in records:
                inner = record.filename.partition("/")[2]
                if inner.startswith("data/") or inner in ("data.pkl", "version", "byteorder"):
                    target.writestr(record.filename, archive.read(record))
    plain.seek(0)
    return _torch_load(plain, size, sizes)


def _torch_load(source: Path | IO[bytes], size: int, sizes: Mapping[str, int]) -> Any:
    """sizes: bytes of each record of a zip file; empty for the older format."""
    unpickler: Any = type("Unpickler", (_Inert,), {"size": size, "sizes": sizes})
    module = SimpleNamespace(
        __name__="restricted", Unpickler=unpickler, load=lambda file, **options: unpickler(file, **options).load()
    )
    # latin1: for names that Python 2 wrote.
    return torch.load(source, map_location="cpu", pickle_module=module, weights_only=False, encoding="latin1")


class _Inert(pickle.Unpickler):
    """The restricted unpickler. torch derives a class from it and sets `persistent_load` on the instances."""

    size: int
    sizes: Mapping[str, int]

    def __init__(self, file: IO[bytes], **options: Any) -> None:
        start = file.tell()
        check_opcodes(file, self.size, MOST_TUPLES)
        file.seek(start)
        self._storage: Callable[[Any], Any] = _no_storage
        super().__init__(file, **options)

    @property
    def persistent_load(self) -> Callable[[Any], Any]:
        return self._persistent

    @persistent_load.setter
    def persistent_load(self, load: Callable[[Any], Any]) -> None:
        self._storage = load

    def _persistent(self, identifier: Any) -> Any:
        """Check that a storage is not longer than its record in the file, then load it.

        `identifier`: ("storage", type, key, device, length, ...).
        """
        kind, *description = identifier
        if kind == "module":
            return description[0]  # the class alone: torch would compare its source code with that in the file
        storage_type, key, _, length = description[:4]
        if storage_type is _UNTYPED:
            dtype, identifier = torch.uint8, (kind, torch.UntypedStorage, *description[1:])
        else:
            dtype = storage_type.dtype
        held = self.sizes.get(key, 0) if self.sizes else self.size
        if not 0 <= length * dtype.itemsize <= held:
            raise ValueError(f"found a storage of {length} numbers in {held} bytes")
        return self._storage(identifier)

    def find_class(self, module: str, name: str) -> Any:
        admitted = plain_names() | {
            ("torch", "Size"): torch.Size,
            ("torch.storage", "UntypedStorage"): _UNTYPED,
            ("torch._utils", "_rebuild_tensor"): partial(_rebuild, self.size),
            ("torch._utils", "_rebuild_tensor_v2"): partial(_rebuild, self.size),
            ("torch._utils", "_rebuild_tensor_v3"): partial(_rebuild_typed, self.size),
        }
        if (module, name) in admitted:
            return admitted[module, name]
        if module == "torch" and isinstance(dtype := vars(torch).get(name), torch.dtype):
            return dtype
        return _unknown(module, name)


def _unknown(module: str, name: str) -> Any:
    """Replace Parameter and tensor subclasses by a function that returns their tensor, and all else by a stand-in."""
    if module == "torch._utils" and name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
        return partial(_first_of)
    if (module, name) == ("torch._tensor", "_rebuild_from_type_v2"):
        return partial(_rebuild_plain)
    return stand_in()


def _no_storage(identifier: Any) -> Any:
    raise ValueError("found a reference to data outside of the file")


def _rebuild(
    most: int,
    storage: Any,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    *_: Any,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """A tensor as a view inside its storage, of at most `most` bytes, because strides can repeat data without limit."""
    if not isinstance(storage, torch.storage.TypedStorage):
        raise TypeError(f"found a tensor of a {type(storage).__name__}, expected a storage")
    dtype = storage.dtype if dtype is None else dtype
    untyped = storage._untyped_storage
    count = 1
    for length in size:
        count *= length
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    inside = 0 <= offset <= last and min(stride, default=0) >= 0 and (last + 1) * dtype.itemsize <= untyped.nbytes()
    if min(size, default=0) < 0 or count * dtype.itemsize > most or (count and not inside):
        raise ValueError(f"found a tensor of shape {tuple(size)} outside of its storage")
    return torch.empty(0, dtype=dtype).set_(untyped, offset if count else 0, tuple(size), tuple(stride))


def _rebuild_typed(
    most: int, storage: Any, offset: int, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, *_: Any
) -> Tensor:
    return _rebuild(most, storage, offset, size, stride, dtype=dtype)


def _first_of(data: Any, *_: Any) -> Any:
    return data


def _rebuild_plain(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A tensor of a subclass as a plain tensor."""
    return function(*arguments) if callable(function) and not isinstance(function, type) else stand_in()()


def _tensor(value: Any) -> Tensor | None:
    if isinstance(value, np.ndarray) and value.dtype.kind in "iufb" and value.dtype.isnative:
        return torch.from_numpy(value.copy())
    return value.detach() if isinstance(value, Tensor) else None


def _described(content: Any) -> str:
    return f"keys {_first(content)}" if isinstance(content, dict) and content else f"a {type(content).__name__}"


def _first(names: Collection[Any], most: int = 5) -> str:
    shown = [str(name)[:60] if isinstance(name, str | int) else type(name).__name__ for name in list(names)[:most]]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")
