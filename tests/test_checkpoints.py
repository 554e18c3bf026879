"""Weights out of files from elsewhere: whatever they are wrapped in, and without running what they hold."""

import argparse
import contextlib
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contrastive_concepts.errors import UserError
from contrastive_concepts.segmenters.checkpoint import read_checkpoint
from contrastive_concepts.similarity.clip import load_clip

STATE = OrderedDict(a=torch.arange(6.0).reshape(2, 3), b=torch.tensor(2.5), c=torch.ones(3, dtype=torch.float16))


class OmegaConf(dict):  # type: ignore[type-arg]
    """Of a library that the reader does not have."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.flags = {"readonly": True}


class Node:
    """An object with a state, slots and items of its own."""

    def __init__(self) -> None:
        self.parent, self.values = self, [OmegaConf(x=1), {1, 2}]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return (Node, (), {"values": self.values}, iter([1, 2]), iter([("k", "v")]))

    def append(self, value: Any) -> None: ...
    def __setitem__(self, key: Any, value: Any) -> None: ...


for kind in (OmegaConf, Node):
    kind.__module__ = "library_that_is_not_here"


def optimizer() -> dict[str, Any]:
    module = torch.nn.Linear(3, 3)
    steps = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    steps.step()
    return steps.state_dict()


WRAPPED: dict[str, Any] = {
    "tcl": lambda: {
        "model": STATE, "optimizer": optimizer(), "lr_scheduler": Node(), "metrics": {"iou": np.float64(1.5)}, "epoch": 3,
        "config": OmegaConf(model=OmegaConf(x=Node())),
    },
    "alone": lambda: STATE,
    "lightning": lambda: {"state_dict": {f"model.{name}": value for name, value in STATE.items()}, "hyper_parameters": argparse.Namespace(a=Path("x")), "epoch": 1},
    "data parallel": lambda: {"model": OrderedDict((f"module.{name}", value) for name, value in STATE.items())},
    "compiled": lambda: {"net": {f"_orig_mod.{name}": value for name, value in STATE.items()}},
    "parameters": lambda: {"model": {name: torch.nn.Parameter(value) for name, value in STATE.items()}},
    "deeper": lambda: {"checkpoint": {"weights": {"ema": STATE, "step": 7}}, "rng": torch.get_rng_state()},
    "numbers beside": lambda: {"model": {**STATE, "version": 3, "extra": Node()}},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    """There while a file is written."""
    import sys
    from types import ModuleType

    library = ModuleType("library_that_is_not_here")
    library.OmegaConf, library.Node = OmegaConf, Node  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "library_that_is_not_here", library)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", WRAPPED)
def test_tensors_come_out_of_any_wrapper(
    tmp_path: Path, name: str, zipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(WRAPPED[name](), tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    monkeypatch.delitem(__import__("sys").modules, "library_that_is_not_here")
    state = read_checkpoint(tmp_path / "x.pth", "model")
    assert list(state) == list(STATE)
    for key, value in STATE.items():
        assert torch.equal(state[key], value)
        assert state[key].dtype == value.dtype


class Evil:
    """Does something when it is read by an ordinary unpickler."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def hostile(target: Path) -> list[Any]:
    command = f"touch {target}"
    return [
        Evil(os.system, command),
        Evil(eval, f"open({str(target)!r}, 'w')"),
        Evil(exec, f"open({str(target)!r}, 'w')"),
        Evil(getattr, Evil(__import__, "os"), "system"),
        Evil(os.mkdir, str(target)),
        Evil(torch._utils._rebuild_parameter, Evil(os.system, command), False, OrderedDict()),
        {Evil(os.system, command): 1},
    ]


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("number", range(7))
def test_nothing_in_a_file_is_run(tmp_path: Path, number: int, zipped: bool) -> None:
    target = tmp_path / "ran"
    torch.save(
        {"model": STATE, "config": hostile(target)[number]},
        tmp_path / "x.pth",
        _use_new_zipfile_serialization=zipped,
        pickle_protocol=2 + 2 * (number % 2),
    )
    with contextlib.suppress(UserError):
        assert torch.equal(read_checkpoint(tmp_path / "x.pth", "model")["a"], STATE["a"])
    assert not target.exists()


def test_a_dotted_name_reaches_nothing(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    program = (
        b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x0ctorch._utils\x8c\x15os.system" .replace(b"\x15", b"\x09")
        + b"\x93" + b"\x8c" + bytes([len(f"touch {target}")]) + f"touch {target}".encode() + b"\x85R."
    )  # fmt: skip
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/version", "3")
    with pytest.raises(UserError):
        read_checkpoint(tmp_path / "x.pth", "model")
    assert not target.exists()


def bad_files() -> dict[str, bytes]:
    whole = io.BytesIO()
    torch.save({"model": STATE}, whole)
    return {
        "empty": b"", "text": b"not found", "html": b"<html>404</html>", "cut": whole.getvalue()[:300],
        "pickle of a list": pickle.dumps([1, 2]), "zip of nothing": b"PK\x05\x06" + b"\0" * 18, "numbers": b"\x80\x04K\x01.",
    }  # fmt: skip


@pytest.mark.parametrize("name", bad_files())
def test_what_is_no_checkpoint_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.pth").write_bytes(bad_files()[name])
    with pytest.raises(UserError, match=r"x\.pth: ") as caught:
        read_checkpoint(tmp_path / "x.pth", "model")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_checkpoint_without_tensors_names_what_it_holds(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "arguments": {"lr": 1.0}}, tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"found no state dict \(epoch, arguments\)"):
        read_checkpoint(tmp_path / "x.pth", "model")


def test_openais_torchscript_archives_are_refused_with_the_tag_to_use(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "ViT-B-16.pt")
    with pytest.raises(UserError, match="TorchScript archive"):
        read_checkpoint(tmp_path / "ViT-B-16.pt", "model")
    with pytest.raises(UserError, match="set model: ViT-B-16, pretrained: openai"):
        load_clip("similarity", "ViT-B-16", str(tmp_path / "ViT-B-16.pt"), "cpu")


def test_a_model_of_the_hub_that_is_not_in_the_cache_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        UserError, match=r"config: similarity\.model: 'hf-hub:nobody/nothing' cannot be loaded"
    ) as caught:
        load_clip("similarity", "hf-hub:nobody/nothing", None, "cpu")
    assert "\n" not in str(caught.value)
