"""The second frozen image model of a segmenter: its features, its weights, and what is no such model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from huggingface_hub import constants
from torch import Tensor

from contrastive_concepts.config.evaluation import ImageModelSettings
from contrastive_concepts.errors import UserError
from contrastive_concepts.segmenters.image_model import ImageModel, load_image_model
from contrastive_concepts.segmenters.tower import normalise_pixels
from tests.synthetic_clip import draw

TINY = "test_vit.r160_in1k"
"""The smallest vision transformer of timm: 64 wide, six blocks, patches of 16."""


def image_model(patch: int = 16, size: int = 64, name: str = "vit_tiny_patch16_224", **options: Any) -> ImageModel:
    """Two blocks with weights so large that patches differ."""
    options = {"img_size": size, "patch_size": patch, "depth": 2, "num_classes": 0} | options
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = timm.create_model(name, dynamic_img_size=True, **options)
        for key, value in model.named_parameters():
            if value.ndim > 1:
                value.copy_(2 * draw(key, tuple(value.shape), 0))
    return ImageModel(model)


def image(height: int = 64, width: int = 64, seed: int = 0) -> np.ndarray[Any, Any]:
    """Random patches on a background, so that some patches are alike."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 3), np.uint8)
    pixels[: height // 2] = (200, 30, 60)
    return pixels


def batch(*images: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()


def texts(count: int) -> Tensor:
    return F.normalize(draw("texts", (count, 64), 3), dim=1)


def loaded(folder: Path, name: str = TINY, pretrained: str | bool = "weights.pt") -> ImageModel:
    return load_image_model(ImageModelSettings(model=name, pretrained=pretrained), folder, "cpu")


def line(action: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


# The image model


@pytest.mark.parametrize(
    ("patch", "size"), [(16, (64, 64)), (16, (48, 80)), (8, (64, 64)), (8, (40, 24)), (14, (70, 28))]
)
def test_features_are_the_normalised_patch_tokens(patch: int, size: tuple[int, int]) -> None:
    made = image_model(patch, size=4 * patch)
    images = batch(image(*size))
    found = made.features(images)
    assert found.shape == (1, made.width, size[0] // patch, size[1] // patch)
    assert found.dtype == torch.float32
    assert made.device == torch.device("cpu")
    mean, std = torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.5, 0.5, 0.5])
    with torch.inference_mode():
        tokens = made.model.forward_features((images / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    for row in range(found.shape[2]):
        for column in range(found.shape[3]):
            token = tokens[0, 1 + row * found.shape[3] + column]
            assert torch.allclose(found[0, :, row, column], token, atol=1e-4)


def test_class_token_and_registers_are_left_out() -> None:
    with_registers = image_model(14, 56, "vit_small_patch14_reg4_dinov2")
    images = batch(image(56, 42))
    found = with_registers.features(images)
    assert found.shape == (1, 384, 4, 3)
    pixels = normalise_pixels(images / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with torch.inference_mode():
        tokens = with_registers.model.forward_features(pixels)
    assert torch.allclose(found.flatten(2)[0].T, tokens[0, 5:], atol=1e-4)
    without_positions = ImageModel(
        timm.create_model("vit_small_patch16_dinov3", depth=1, num_classes=0, dynamic_img_size=True)
    )
    assert without_positions.features(batch(image(40, 70))).shape == (1, 384, 2, 4)


def test_the_remainder_of_a_side_is_cut_and_a_short_side_filled() -> None:
    made = image_model(16)
    whole = batch(image(61, 83))
    assert torch.allclose(made.features(whole), made.features(whole[..., :48, :80]), atol=1e-5)
    short = whole[..., :5, :40]
    filled = torch.cat([short, short[..., -1:, :].expand(-1, -1, 11, -1)], dim=2)[..., :32]
    assert torch.allclose(made.features(short), made.features(filled), atol=1e-5)


def test_a_batch_and_its_images_agree() -> None:
    made = image_model(8)
    images = batch(*(image(40, 64, seed) for seed in range(3)))
    together = made.features(images)
    for number in range(3):
        assert torch.allclose(made.features(images[number : number + 1])[0], together[number], atol=1e-4)


def test_models_that_are_not_read() -> None:
    fixed = timm.create_model("vit_tiny_patch16_224", depth=1)
    message = line(lambda: ImageModel(fixed))
    assert message == (
        "image model: found VisionTransformer, expected a vision transformer of timm, created with "
        "dynamic_img_size=True"
    )
    assert line(lambda: ImageModel(torch.nn.Linear(2, 2))).startswith("image model: found Linear, expected")


# Its weights


def test_random_weights_are_those_of_every_run(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    first, second = loaded(tmp_path, pretrained=False), loaded(tmp_path, pretrained=False)
    assert torch.equal(torch.random.get_rng_state(), before)
    images = batch(image())
    assert torch.equal(first.features(images), second.features(images))
    assert not any(value.requires_grad for value in first.model.parameters())
    assert not first.model.training


def other_weights(name: str = TINY) -> dict[str, Tensor]:
    """A state dict with a head, as a training writes it."""
    state = timm.create_model(name).state_dict()
    return {key: draw(key, tuple(value.shape), 1) for key, value in state.items()}


def with_weights(state: dict[str, Tensor]) -> ImageModel:
    model = timm.create_model(TINY, dynamic_img_size=True)
    model.load_state_dict(state)
    return ImageModel(model)


def test_a_file_in_any_wrapper(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = other_weights()
    images = batch(image(40, 70))
    expected = with_weights(state).features(images)
    student = {key: torch.zeros_like(value) for key, value in state.items()}
    backbone = {key: value for key, value in state.items() if not key.startswith("head.")}
    wrapped = [
        state,
        backbone,
        {"state_dict": state, "epoch": 3},
        {"model": {f"module.{key}": value for key, value in state.items()}},
        {
            "student": {f"module.backbone.{key}": value for key, value in student.items()},
            "teacher": {f"backbone.{key}": value for key, value in backbone.items()}
            | {"head.mlp.0.weight": torch.zeros(3, 64)},
        },
        backbone | {"mask_token": torch.zeros(1, 64)},
        {key: value.double() for key, value in state.items()},
    ]
    for content in wrapped:
        torch.save(content, tmp_path / "weights.pt")
        assert torch.equal(loaded(tmp_path).features(images), expected)
    torch.save(state, tmp_path / "weights.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(loaded(tmp_path).features(images), expected)
    save_file(state, tmp_path / "weights.safetensors")
    assert torch.equal(loaded(tmp_path, pretrained="weights.safetensors").features(images), expected)
    assert torch.equal(
        loaded(tmp_path / "elsewhere", pretrained=str(tmp_path / "weights.pt")).features(images), expected
    )


def test_the_official_names_of_dinov2(tmp_path: Path) -> None:
    """Registers under another name, and a position of the class token that timm adds to that token."""
    name = "vit_small_patch14_reg4_dinov2"
    state = timm.create_model(name, num_classes=0).state_dict()
    state = {key: draw(key, tuple(value.shape), 2) for key, value in state.items()}
    position = draw("position", (1, 1, 384), 2)
    official = {key: value for key, value in state.items() if key not in ("reg_token", "cls_token", "pos_embed")}
    official |= {
        "register_tokens": state["reg_token"],
        "cls_token": state["cls_token"] - position,
        "pos_embed": torch.cat([position, state["pos_embed"]], dim=1),
        "mask_token": torch.zeros(1, 384),
    }
    torch.save(official, tmp_path / "weights.pt")
    found = loaded(tmp_path, name).model.state_dict()
    assert found.keys() == state.keys()
    for key, value in state.items():
        assert torch.allclose(found[key], value, atol=1e-6), key


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    state = other_weights()
    path = tmp_path / "weights.pt"
    norm = "blocks.1.norm1.weight"
    cases: list[tuple[dict[str, Any], str]] = [
        ({key: value for key, value in state.items() if key != norm}, f"key '{norm}' is missing, expected shape (64,)"),
        (state | {norm: torch.zeros(3)}, f"key '{norm}': found shape (3,), expected (64,)"),
        (
            state | {norm: torch.full((64,), torch.nan)},
            f"key '{norm}': found values that are not finite, expected numbers",
        ),
        (state | {"reg_token": torch.zeros(1, 4, 64)}, "unknown key 'reg_token', expected the official layout"),
        (
            state | {"patch_embed.proj.weight": torch.zeros(64, 3, 8, 8)},
            "key 'patch_embed.proj.weight': found shape (64, 3, 8, 8), expected (64, 3, 16, 16)",
        ),
        (
            {key: value for key, value in state.items() if key != "pos_embed"},
            "key 'pos_embed' is missing, expected shape (1, 101, 64)",
        ),
        (
            {key: value for key, value in state.items() if "patch_embed" not in key},
            "key 'patch_embed.proj.weight' is missing",
        ),
    ]
    for content, message in cases:
        torch.save({"state_dict": content}, path)
        assert line(lambda: loaded(tmp_path)).startswith(f"{path}: {message}")
    torch.save(state | {"pos_embed": torch.zeros(7)}, path)
    assert line(lambda: loaded(tmp_path)).startswith(f"{path}: found no weights of VisionTransformer (")
    torch.save({"other": torch.zeros(2)}, path)
    assert f"{path}: found no state dict with the expected names" in line(lambda: loaded(tmp_path))
    path.write_bytes(b"<html>")
    assert line(lambda: loaded(tmp_path)).startswith(f"{path}: cannot be read as a checkpoint")
    absent = tmp_path / "absent.pt"
    assert line(lambda: loaded(tmp_path, pretrained="absent.pt")) == f"{absent}: not found, expected a checkpoint"


def test_models_that_timm_does_not_list(tmp_path: Path) -> None:
    start = (
        "config: benchmark.segmenters...image_model.model: found {!r}, expected a vision transformer that timm lists"
    )
    for name, perhaps in (
        ("vit_base_patch8_224.dinoo", "perhaps vit_base_patch8_224.dino"),
        ("vit_base_patch8_224_dino", "perhaps vit_base_patch8_224.dino"),
        ("vit_bass_patch16_224", "perhaps vit_base_patch16_224"),
        ("resnet50", None),
        ("swin_tiny_patch4_window7_224", None),
        ("", None),
    ):
        message = line(lambda: loaded(tmp_path, name, False))  # noqa: B023  called at once
        assert message.startswith(start.format(name))
        assert (", perhaps " in message) == (perhaps is not None)
        assert perhaps is None or perhaps in message


def test_weights_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the cache without a network; else one line at once, without the client's retries."""
    from safetensors.torch import save_file

    from contrastive_concepts.encoders import clip
    from contrastive_concepts.segmenters import image_model as module

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(clip, "resolves", lambda url: False)
    message = line(lambda: loaded(tmp_path, pretrained=True))
    assert message == (
        "config: benchmark.segmenters...image_model.model: the weights 'timm/test_vit.r160_in1k' of "
        f"'test_vit.r160_in1k' are not in the cache {tmp_path} and {constants.ENDPOINT} cannot be reached, expected "
        "weights: fetch them where there is a network, or give a file in pretrained"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in line(lambda: loaded(tmp_path, pretrained=True))
    assert "timm has no weights of 'vit_huge_patch14_gap_224.in1k_ijepa' on the hub" in line(
        lambda: module._from_hub("vit_huge_patch14_gap_224.in1k_ijepa")
    )

    repository = tmp_path / "models--timm--test_vit.r160_in1k"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    state = other_weights()
    images = batch(image())
    expected = with_weights(state).features(images)
    torch.save(state, snapshot / "pytorch_model.bin")
    assert torch.equal(loaded(tmp_path, pretrained=True).features(images), expected)
    save_file(state, snapshot / "model.safetensors")
    (snapshot / "pytorch_model.bin").write_bytes(b"")
    assert torch.equal(loaded(tmp_path, pretrained=True).features(images), expected)

    def refuse(*_: Any, **options: Any) -> str:
        if options.get("local_files_only"):
            raise huggingface_hub.errors.LocalEntryNotFoundError("absent")
        raise RuntimeError("401\nhttps://name:secretive@hub.invalid")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(clip, "resolves", lambda url: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    message = line(lambda: loaded(tmp_path, pretrained=True))
    assert "the weights of 'test_vit.r160_in1k' cannot be fetched (401" in message
    assert "secretive" not in message
