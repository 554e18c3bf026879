"""CLIP's weights from elsewhere: TorchScript archives, wrappers, safetensors, the hub's cache."""

import argparse
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")

from contrastive_concepts.encoders.clip import load_clip  # noqa: E402
from contrastive_concepts.errors import UserError  # noqa: E402
from tests.synthetic_clip import clip_model  # noqa: E402


def architecture(quick_gelu: bool) -> dict[str, Any]:
    return {
        "embed_dim": 64,
        "quick_gelu": quick_gelu,
        "vision_cfg": {"image_size": 64, "layers": 2, "width": 128, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    for name, quick in (("tiny", False), ("tiny-quickgelu", True)):
        (folder / f"{name}.json").write_text(json.dumps(architecture(quick)))
    model = clip_model(layers=2, patch=8, size=64, quick_gelu=True)
    inputs = torch.zeros(1, 3, 64, 64), torch.zeros(1, 77, dtype=torch.long)
    with warnings.catch_warnings(action="ignore"):
        traced = torch.jit.trace(model.half(), (inputs[0].half(), inputs[1]), strict=False, check_trace=False)
        torch.jit.save(traced, folder / "ViT-B-16.pt")
    return folder


def same(found: Any, halved: bool = False) -> bool:
    expected = clip_model(layers=2, patch=8, size=64, quick_gelu=True).state_dict()
    state = found.state_dict()
    return set(state) == set(expected) and all(
        torch.equal(state[name], value.half().float() if halved else value) for name, value in expected.items()
    )


def test_openais_archive_is_read_with_its_activation(folder: Path) -> None:
    archive = str(folder / "ViT-B-16.pt")
    model, tokenizer = load_clip("similarity", "tiny-quickgelu", archive, "cpu", str(folder / "tiny-quickgelu.json"))
    assert same(model, halved=True)
    assert next(model.parameters()).dtype == torch.float32
    assert tokenizer(["a dog"]).shape == (1, 77)
    with pytest.raises(UserError, match=r"TorchScript archive.*model tiny-quickgelu, and pretrained openai") as caught:
        load_clip("benchmark.backbones", "tiny", archive, "cpu", str(folder / "tiny.json"))
    assert "\n" not in str(caught.value)


def test_weights_in_a_wrapper(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = clip_model(layers=2, patch=8, size=64).state_dict()
    module = {f"module.{name}": value for name, value in state.items()}
    contents: dict[str, Any] = {
        "bare": state,
        "state_dict": {"epoch": 1, "name": "x", "state_dict": module},
        "model": {"model": state, "args": argparse.Namespace(lr=0.1)},
        "deep": {"a": [{"ema": module}], "lr": 0.1},
        "namespace": argparse.Namespace(model=state),
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / f"{name}.pt")
        torch.save(content, tmp_path / f"{name}_old.pt", _use_new_zipfile_serialization=False)
        for file in (f"{name}.pt", f"{name}_old.pt"):
            model, _ = load_clip("similarity", "tiny", str(tmp_path / file), "cpu", str(folder / "tiny.json"))
            assert same(model), file
    save_file(state, tmp_path / "a.safetensors")
    assert same(load_clip("similarity", "tiny", str(tmp_path / "a.safetensors"), "cpu")[0])


def test_unfit_weights_are_one_line(folder: Path, tmp_path: Path) -> None:
    state = clip_model(layers=2, patch=8, size=64).state_dict()
    first = next(iter(state))
    for name, content in {
        "missing": {"model": {key: value for key, value in state.items() if key != first}, "epoch": 1},
        "shape": {"model": state | {first: torch.zeros(3)}},
        "none": {"epoch": 3},
    }.items():
        torch.save(content, tmp_path / f"{name}.pt")
    (tmp_path / "html.pt").write_text("<html>")
    (tmp_path / "html.safetensors").write_text("<html>")
    for file in sorted(tmp_path.iterdir()):
        with pytest.raises(UserError, match=file.stem) as caught:
            load_clip("similarity", "tiny", str(file), "cpu", str(folder / "tiny.json"))
        assert "\n" not in str(caught.value)
    for model, pretrained in (("tiny", None), (f"local-dir:{tmp_path}", None), ("tiny", "no_such_tag")):
        with pytest.raises(UserError, match="config: similarity"):
            load_clip("similarity", model, pretrained, "cpu")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": architecture(False)}))
    for file in tmp_path.glob("html*"):
        file.unlink()
    with pytest.raises(UserError, match="cannot be loaded"):  # not a model of random weights
        load_clip("similarity", f"local-dir:{tmp_path}", None, "cpu")


LOAD = """
import sys
from contrastive_concepts.errors import UserError
from contrastive_concepts.encoders.clip import load_clip
for name in sys.argv[1:]:
    try:
        model, tokenizer = load_clip("similarity", name, "laion2b_s34b_b88k", "cpu")
        print(float(model.logit_scale), tuple(tokenizer(["a dog"]).shape))
    except UserError as error:
        print("line:", error)
"""


def run(models: Sequence[str], home: Path, **environment: str) -> list[str]:
    proxies = {name for name in os.environ if name.lower().endswith("_proxy")}
    kept = {name: value for name, value in os.environ.items() if name not in proxies and not name.startswith("HF_")}
    kept |= {"HF_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1] / "workflow")} | environment
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *models], env=kept, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.splitlines()


def test_a_model_in_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants
    from safetensors.torch import save_file

    model = tmp_path / "hub" / "models--owner--tiny"
    snapshot = model / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("0" * 40)
    state = clip_model(layers=2, patch=8, size=64).state_dict()
    save_file(state, snapshot / "open_clip_model.safetensors")
    (snapshot / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": architecture(False), "preprocess_cfg": {}})
    )
    models = ["hf-hub:owner/tiny", "hf-hub:owner/absent", "hf-hub:a/b/c"]
    found, absent, wrong = run(models, tmp_path, HF_HUB_OFFLINE="1")
    assert found == f"{float(state['logit_scale'])} (1, 77)"
    assert absent.startswith("line: config: similarity.model: 'hf-hub:owner/absent' is not in the cache")
    assert wrong.startswith("line: config: similarity.model: 'hf-hub:a/b/c' is no name on the hub")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    loaded, tokenizer = load_clip("similarity", models[0], "laion2b_s34b_b88k", "cpu")
    assert found == f"{float(loaded.logit_scale.detach())} {tuple(tokenizer(['a dog']).shape)}"
    with pytest.raises(UserError, match=r"https://hub\.invalid cannot be reached"):
        load_clip("similarity", models[1], "laion2b_s34b_b88k", "cpu")


def test_a_tag_without_a_network_is_one_line_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    from contrastive_concepts.encoders import clip

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(clip, "resolves", lambda url: False)
    for model, tag, repository in (
        ("ViT-B-16", "laion2b_s34b_b88k", "laion/CLIP-ViT-B-16-laion2B-s34B-b88K"),
        ("ViT-B-16-SigLIP", "webli", "timm/ViT-B-16-SigLIP"),
    ):
        with pytest.raises(UserError) as caught:
            load_clip("similarity", model, tag, "cpu")
        assert str(caught.value) == (
            f"config: similarity.pretrained: the weights {repository!r} of {tag!r} are not in the cache {tmp_path} and "
            f"{constants.ENDPOINT} cannot be reached, expected weights: fetch them where there is a network, or give a "
            "local file"
        )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        load_clip("similarity", "ViT-B-16", "openai", "cpu")
