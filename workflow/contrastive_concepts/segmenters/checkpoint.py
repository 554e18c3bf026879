"""Trained heads in official files: tensors by name, read without running anything that a file holds."""

import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch import Tensor

from contrastive_concepts.errors import UserError, one_line

PREFIXES = ("module.", "_orig_mod.", "model.")
"""Put before every name by DataParallel, torch.compile and modules that hold the model."""
DEEPEST = 4
"""Wrappers around a state dict."""


class Inert:
    """Stands in for an object of an unknown class: takes whatever a pickle does to it, and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        """Takes any arguments."""

    def __setstate__(self, state: Any) -> None:
        """Keeps nothing."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Keeps nothing."""

    def __call__(self, *_: Any, **__: Any) -> "Inert":
        return Inert()

    def append(self, value: Any) -> None:
        """Keeps nothing."""

    def extend(self, values: Any) -> None:
        """Keeps nothing."""

    def add(self, value: Any) -> None:
        """Keeps nothing."""


class _Unpickler(pickle.Unpickler):
    """Calls what rebuilds tensors, by a closed list; every other name is inert."""

    def find_class(self, module: str, name: str) -> Any:
        kind = getattr(torch, name, None) if module == "torch" else None
        if isinstance(kind, torch.dtype):
            return kind
        return _ADMITTED.get((module, name), Inert)


def _of_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A tensor of a subclass, as a tensor."""
    return function(*arguments) if function in _REBUILDING else Inert()


_REBUILDING = (torch._utils._rebuild_tensor, torch._utils._rebuild_tensor_v2, torch._utils._rebuild_parameter)
_ADMITTED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch._tensor", "_rebuild_from_type_v2"): _of_type,
    **{("torch._utils", function.__name__): function for function in _REBUILDING},
}
_PICKLE = SimpleNamespace(
    __name__="contrastive_concepts",
    Unpickler=_Unpickler,
    load=lambda file, **options: _Unpickler(file, **options).load(),
)
"""What torch.load takes for the module pickle."""


def is_torchscript(path: Path | str) -> bool:
    """Whether a file is a TorchScript archive, as OpenAI's CLIP models are: a program, not a table of tensors."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") or "/code/" in name for name in archive.namelist())


def read_checkpoint(path: Path | str, wrapper: str) -> dict[str, Tensor]:
    """State dict of a file on the CPU, whatever it is wrapped in: optimizer, configuration, metrics, DataParallel.

    wrapper: the key that its official writer uses; else the mapping with the most tensors counts. Objects of classes
    that are no tensors are not made, so that nothing in the file is run. Raises UserError for an unreadable file, or
    one without a state dict.
    """
    try:
        content = _content(Path(path))
    except FileNotFoundError:
        raise UserError(f"{path}: not found, expected a checkpoint") from None
    except UserError:
        raise
    except Exception as error:  # a pickle is a program: a damaged one fails in any way
        raise UserError(f"{path}: cannot be read as a checkpoint of tensors ({one_line(error)})") from None
    known = content.get(wrapper) if isinstance(content, Mapping) else None
    state = _tensors(known) or max(_states(content), key=len, default={})
    if not state:
        keys = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise UserError(f"{path}: found no state dict ({keys[:200]}), expected tensors by name, alone or wrapped")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def select(
    state: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], ignored: str, path: Path | str
) -> dict[str, Tensor]:
    """The tensors named by `shapes`, float32. Raises UserError for a missing, misshapen, non-finite or unknown key.

    ignored: regular expression of further keys that may be there (the frozen CLIP towers)."""
    for name, shape in shapes.items():
        if name not in state:
            raise UserError(f"{path}: key {name!r} is missing, expected shape {shape}")
        if tuple(state[name].shape) != shape:
            raise UserError(f"{path}: key {name!r}: found shape {tuple(state[name].shape)}, expected {shape}")
        if not bool(torch.isfinite(state[name]).all()):
            raise UserError(f"{path}: key {name!r}: found values that are not finite, expected numbers")
    for name in state:
        if name not in shapes and not re.match(ignored, name):
            raise UserError(f"{path}: unknown key {name!r}, expected the official layout")
    return {name: state[name].float() for name in shapes}


def _content(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if is_torchscript(path):
        raise UserError(f"{path}: found a TorchScript archive, which is a program, expected a checkpoint of tensors")
    return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_PICKLE)


def _tensors(value: Any) -> dict[str, Tensor]:
    """The tensors of a mapping by name; what else stands among them is left out."""
    if not isinstance(value, Mapping):
        return {}
    return {key: found.detach() for key, found in value.items() if isinstance(key, str) and isinstance(found, Tensor)}


def _states(value: Any, depth: int = 0) -> Iterator[dict[str, Tensor]]:
    if isinstance(value, Mapping) and depth <= DEEPEST:
        yield _tensors(value)
        for below in value.values():
            yield from _states(below, depth + 1)
