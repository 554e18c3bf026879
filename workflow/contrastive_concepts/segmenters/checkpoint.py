"""Reads trained heads from the official files. Runs no code from the files and checks every key and shape."""

import re
from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor

from contrastive_concepts.errors import UserError
from contrastive_concepts.tensor_files import is_torchscript, read_tensors


def read_checkpoint(path: Path | str, wrapper: str, expected: Collection[str]) -> dict[str, Tensor]:
    """The state dict in a file, with any wrapper around it. `wrapper` is the key under which the official file has it.

    Raises UserError for an unreadable file or one without any of the expected names."""
    if is_torchscript(path):
        raise UserError(
            f"{path}: found a TorchScript archive, as OpenAI publishes CLIP, expected the trained heads; CLIP itself "
            "is a backbone: model ViT-B-16-quickgelu, pretrained openai"
        )
    return read_tensors(path, expected, wrapper)


def select(
    state: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], ignored: str, path: Path | str
) -> dict[str, Tensor]:
    """The tensors named in `shapes`, float32. Raises UserError for a key that is missing, unknown, of another shape or
    not finite. ignored: regular expression of further keys that are allowed (the frozen CLIP towers)."""
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
