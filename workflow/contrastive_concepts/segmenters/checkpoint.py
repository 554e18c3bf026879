"""Trained heads in the official files: read without running code, every key and shape checked by name."""

import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from contrastive_concepts.errors import UserError, one_line


def read_checkpoint(path: Path | str, wrapper: str) -> dict[str, Tensor]:
    """State dict of a file, which may be wrapped under one key. Raises UserError for an unreadable file."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: not found, expected a checkpoint") from None
    except (OSError, RuntimeError, EOFError, UnpicklingError, ValueError, KeyError) as error:
        raise UserError(f"{path}: cannot be read as a checkpoint of plain tensors ({one_line(error)})") from None
    state: Any = content.get(wrapper, content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: found no state dict, expected tensors by name, alone or under {wrapper!r}")
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
