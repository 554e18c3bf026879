"""Weights out of any wrapper: unknown classes stand still, nothing that a file names is run."""

import argparse
import builtins
import enum
import os
import pickle
import sys
import types
import warnings
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from contrastive_concepts.errors import UserError  # noqa: E402
from contrastive_concepts.stand_in import leaves  # noqa: E402
from contrastive_concepts.tensor_files import is_torchscript, load_inert, read_tensors  # noqa: E402

STATE = {
    "head.weight": torch.arange(6.0).reshape(2, 3),
    "head.bias": torch.tensor([1.0, -1.0]),
    "gate": torch.tensor(0.5),
}


class DictConfig(dict):
    """As yacs, mmengine and EasyDict have it: items and attributes."""

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("a class of the file was run")

    def __getstate__(self) -> dict[str, Any]:
        return {"_immutable": True, "_content": {"lr": 0.1}}


class Node:
    """As OmegaConf has it: children that know their parent."""

    def __init__(self, parent: Any = None) -> None:
        self._parent = parent
        self._metadata = {"type": Any, "flags": {1, 2}}
        self.child = Node(self) if parent is None else None

    def __init_subclass__(cls) -> None:
        raise AssertionError("a class of the file was derived from")


class Mode(enum.Enum):
    TRAIN = 1


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(3, 2)
        self.gate = torch.nn.Parameter(torch.tensor(0.0))
        self.load_state_dict(STATE)


@contextmanager
def gone(*classes: type) -> Iterator[None]:
    """The classes live in a module while they are written, and nowhere afterwards."""
    module = types.ModuleType("foreign.config")
    for kind in classes:
        kind.__module__ = module.__name__
        setattr(module, kind.__qualname__, kind)
    sys.modules |= {"foreign": types.ModuleType("foreign"), module.__name__: module}
    try:
        yield
    finally:
        del sys.modules["foreign"], sys.modules[module.__name__]


def wrapped() -> dict[str, Any]:
    parameters = OrderedDict((name, torch.nn.Parameter(value)) for name, value in STATE.items())
    optimizer = {"state": {0: {"exp_avg": torch.ones(2, 3), "step": 3}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    module = {f"module.{name}": value for name, value in STATE.items()}
    net = Net()
    return {
        "bare": STATE,
        "tcl": {
            "model": parameters, "optimizer": optimizer, "lr_scheduler": {"base_values": [0.1]}, "epoch": 3,
            "metrics": {"miou": np.float64(0.3)}, "config": Node(),
        },
        "state_dict": {"state_dict": module, "arch": "vit", "best_acc1": torch.tensor(0.7)},
        "model_state_dict": {"epoch": 1, "model_state_dict": STATE},
        "net": {"net": {f"net.{name}": value for name, value in STATE.items()}},
        "ema": {"ema": {f"_orig_mod.module.{name}": value for name, value in STATE.items()}},
        "lightning": {
            "state_dict": {f"model.{name}": value for name, value in STATE.items()} | {"loss.weight": torch.ones(1)},
            "hyper_parameters": DictConfig(lr=0.1), "callbacks": {"ModelCheckpoint": {"path": Path("a/b")}},
        },
        "namespace": {"args": argparse.Namespace(lr=1, mode=Mode.TRAIN), "model": STATE},
        "in a namespace": argparse.Namespace(model=STATE, epoch=2),
        "in a config": DictConfig(weights=STATE),
        "list": [STATE, 12],
        "defaultdict": defaultdict(dict, model=STATE),
        "numpy": {"model": {name: value.numpy() for name, value in STATE.items()}, "seed": np.random.RandomState(0)},
        "module": net,
        "data parallel": {"model": torch.nn.DataParallel(net), "date": None},
        "deep": {"a": {"b": {"c": {"student": STATE}}}},
    }  # fmt: skip


@pytest.mark.parametrize("name", wrapped())
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_any_wrapper(name: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / "heads.pt"
    with gone(DictConfig, Node, Mode, Net):
        content = wrapped()[name]
        if form == "pickle":
            path.write_bytes(pickle.dumps(content, 4))
        else:
            torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    found = read_tensors(path, list(STATE), "model")
    assert {key: found[key].tolist() for key in STATE} == {key: value.tolist() for key, value in STATE.items()}
    assert set(found) == set(STATE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.uint16])
@pytest.mark.parametrize("zipped", [True, False])
def test_any_type_and_stride(dtype: Any, zipped: bool, tmp_path: Path) -> None:
    values = torch.arange(24).reshape(4, 6).to(dtype).T[1:]
    state = {"a": values, "empty": torch.zeros(0, 3, dtype=dtype), "scalar": torch.tensor(1).to(dtype)}
    if dtype == torch.uint16 and not zipped:
        pytest.skip("torch reads no such file itself")
    torch.save(state, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    found = read_tensors(tmp_path / "a.pt", list(state))
    for name, expected in state.items():
        assert found[name].dtype == dtype
        assert found[name].tolist() == expected.tolist()


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.reduced = (function, arguments, *([state] if state is not None else []))

    def __reduce__(self) -> Any:
        return self.reduced


def stream(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def named(module: str, name: str) -> bytes:
    texts = (b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return b"".join(texts) + b"\x93"


def hostile(trace: Path) -> dict[str, bytes]:
    command = b"\x8c" + bytes([len(f"touch {trace}")]) + f"touch {trace}".encode()
    calls = {
        "system": Call(os.system, f"touch {trace}"),
        "eval": [Call(builtins.eval, f"open({str(trace)!r}, 'w')")],
        "exec": {"model": STATE, "config": Call(builtins.exec, f"open({str(trace)!r}, 'w')")},
        "getattr": Call(getattr, Call(getattr, "a", "format"), "__globals__"),
        "open": Call(open, str(trace), "w"),
        "nested": {"a": [{"b": (Call(os.mkdir, str(trace)),)}]},
        "state": Call(Call, state=Call(os.mkdir, str(trace))),
        "partial": Call(__import__("functools").partial, os.system, f"touch {trace}"),
        "rebuild": Call(torch._tensor._rebuild_from_type_v2, os.system, torch.Tensor, (f"touch {trace}",), {}),
        "load": Call(torch.load, str(trace)),
        "bytes": Call(torch.storage._load_from_bytes, pickle.dumps(Call(os.mkdir, str(trace)))),
    }
    raw = {
        "dotted": stream(named("torch._utils", "os.system"), command, b"\x85R"),
        "attribute": stream(named("torch._utils", "_rebuild_tensor_v2.__globals__"), b"\x85R"),
        "instance": stream(named("foreign", "X"), b")R", command, b"\x85R"),
        "inst": b"(S'touch " + str(trace).encode() + b"'\nios\nsystem\n.",
        "extension": b"\x80\x02\x82\x01.",
    }
    return {name: pickle.dumps(content, 4) for name, content in calls.items()} | raw


def rezipped(path: Path, content: bytes) -> None:
    """A file of torch.save with another pickle in it."""
    torch.save(STATE, path)
    with zipfile.ZipFile(path) as good:
        records = [(record.filename, good.read(record)) for record in good.infolist()]
    with zipfile.ZipFile(path, "w") as bad:
        for name, value in records:
            bad.writestr(name, content if name.endswith("data.pkl") else value)


@pytest.mark.parametrize("name", hostile(Path("trace")))
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_nothing_is_run(name: str, form: str, tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "heads.pt"
    content = hostile(trace)[name]
    if form == "pickle":
        path.write_bytes(content)
    elif form == "legacy":
        torch.save({}, path, _use_new_zipfile_serialization=False)
        head = path.read_bytes()
        place = head.index(pickle.dumps({}, 2), 60)
        path.write_bytes(head[:place] + content + head[place + len(pickle.dumps({}, 2)) :])
    else:
        rezipped(path, content)
    try:
        found = load_inert(path)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert not any(callable(value) and not isinstance(value, dict) for _, value in leaves(found)), found
    assert not trace.exists()


def test_what_a_pickle_names_is_its_own(tmp_path: Path) -> None:
    """No attribute of torch, numpy or this project is set."""
    path = tmp_path / "heads.pt"
    for module, name in (
        ("torch._utils", "_rebuild_tensor_v2"), ("numpy", "dtype"), ("_codecs", "encode"), ("numpy", "ndarray"),
        ("collections", "OrderedDict"), ("torch", "float32"), ("torch", "Size"), ("foreign", "X"),
    ):  # fmt: skip
        path.write_bytes(
            stream(named(module, name), b"N}\x8c\x08__doc__XK\x01s\x86b".replace(b"__doc__X", b"__doc__2"))
        )
        try:
            load_inert(path)
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017
    for kind in (OrderedDict, torch.Size, torch._utils._rebuild_tensor_v2):
        assert not hasattr(kind, "__doc__2")
    swapped = Call(np.dtype, "f4", False, True, state=(3, ">", None, None, None, -1, -1, 0))
    path.write_bytes(pickle.dumps(swapped, 4))
    load_inert(path)
    assert np.dtype("f4").isnative


@pytest.mark.parametrize("zipped", [True, False])
def test_no_more_memory_than_the_file_has(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "heads.pt"
    torch.save({"head.weight": torch.zeros(1).expand(10**9)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match="outside of its storage"):
        read_tensors(path, list(STATE))
    torch.save({"head.weight": torch.zeros(1000)}, path, _use_new_zipfile_serialization=zipped)
    length = b"M\xe8\x03"  # 1000, as the pickle has it
    content = path.read_bytes()
    if zipped:
        with zipfile.ZipFile(path) as good:
            records = [(record.filename, good.read(record)) for record in good.infolist()]
        with zipfile.ZipFile(path, "w") as bad:
            for name, value in records:
                bad.writestr(name, value.replace(length, b"J\xff\xff\xff\x7f"))
    else:
        path.write_bytes(content.replace(length, b"J\xff\xff\xff\x7f"))
    with pytest.raises(UserError, match="found a storage of 2147483647 numbers"):
        read_tensors(path, list(STATE))


def test_a_deep_pickle_is_refused_or_read(tmp_path: Path) -> None:
    path = tmp_path / "heads.pt"
    for depth, message in ((39_000, "found no state dict"), (1_000_000, "more than 40000 tuples")):
        rezipped(path, stream(b"}N", b"\x85" * depth, b"Ns"))
        with pytest.raises(UserError, match=message):
            read_tensors(path, list(STATE))


def test_the_official_wrapper_wins_then_the_first(tmp_path: Path) -> None:
    other = {name: value + 1 for name, value in STATE.items()}
    torch.save({"ema": other, "model": STATE}, tmp_path / "a.pt")
    assert read_tensors(tmp_path / "a.pt", list(STATE), "model")["gate"] == 0.5
    torch.save({"student": STATE, "teacher": other}, tmp_path / "a.pt")
    assert read_tensors(tmp_path / "a.pt", list(STATE), "model")["gate"] == 0.5


def test_what_was_found_is_named(tmp_path: Path) -> None:
    path = tmp_path / "heads.pt"
    for content, message in (
        ({"epoch": 3, "config": "x"}, r"found no state dict \(keys epoch, config\)"),
        ([1, 2], r"found no state dict \(a list\)"),
        ({"weights": {f"w{number}": torch.ones(1) for number in range(7)}}, r"tensors weights\.w0, .* and 2 more"),
    ):
        torch.save(content, path)
        with pytest.raises(UserError, match=message) as caught:
            read_tensors(path, list(STATE))
        assert "expected" in str(caught.value)
    for content in (b"", b"<html>", b"PK\x03\x04 cut", b"\x80\x04N"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"heads\.pt"):
            read_tensors(path, list(STATE))


def test_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({f"module.{name}": value for name, value in STATE.items()}, tmp_path / "a.safetensors")
    assert read_tensors(tmp_path / "a.safetensors", list(STATE))["head.bias"].tolist() == [1, -1]
    (tmp_path / "a.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        read_tensors(tmp_path / "a.safetensors", list(STATE))


def test_torchscript_is_read_and_not_run(tmp_path: Path) -> None:
    class Scripted(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(3, 2)
            self.gate = torch.nn.Parameter(torch.tensor(0.0))

        def forward(self, values: Any) -> Any:
            return self.head(values) * self.gate

    net = Scripted().half()
    net.load_state_dict(STATE)
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3).half()), tmp_path / "a.pt")
    assert is_torchscript(tmp_path / "a.pt")
    found = read_tensors(tmp_path / "a.pt", list(STATE))
    assert {name: value.tolist() for name, value in found.items()} == {k: v.tolist() for k, v in STATE.items()}
    torch.save(STATE, tmp_path / "b.pt")
    (tmp_path / "c.pt").write_bytes(b"no")
    assert not any(is_torchscript(tmp_path / name) for name in ("b.pt", "c.pt", "absent.pt"))
