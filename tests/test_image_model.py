"""Segmenters with a second frozen image model: the model itself, its weights, ProxyCLIP, and a method of LPOSS's kind."""

import math
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

from contrastive_concepts.config.evaluation import ImageModelSettings, Protocol
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.datasets import Sample
from contrastive_concepts.evaluation.features import encode_samples, read_features, write_features
from contrastive_concepts.evaluation.protocol import label_map, label_maps, similarities
from contrastive_concepts.segmenters import build
from contrastive_concepts.segmenters.image_model import ImageModel, load_image_model
from contrastive_concepts.segmenters.proxyclip import ProxyClip, proxy_attention
from contrastive_concepts.segmenters.segmenter import Features, Segmenter
from contrastive_concepts.segmenters.tower import normalise_pixels
from tests.synthetic_clip import clip_model, draw

TINY = "test_vit.r160_in1k"
"""The smallest vision transformer of timm: 64 wide, six blocks, patches of 16."""


def image_model(patch: int = 16, size: int = 64, name: str = "vit_tiny_patch16_224", **options: Any) -> ImageModel:
    """Two blocks with weights so large that patches differ."""
    options = {"img_size": size, "patch_size": patch, "depth": 2, "num_classes": 0} | options
    model = timm.create_model(name, dynamic_img_size=True, **options)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if value.ndim > 1:
                value.copy_(2 * draw(key, tuple(value.shape), 0))
    return ImageModel(model)


@pytest.fixture(scope="module")
def model() -> Any:
    return clip_model(layers=2, patch=8, size=64)


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
    assert torch.equal(made.features(whole), made.features(whole[..., :48, :80]))
    short = whole[..., :5, :40]
    filled = torch.cat([short, short[..., -1:, :].expand(-1, -1, 11, -1)], dim=2)[..., :32]
    assert torch.equal(made.features(short), made.features(filled))


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


# ProxyCLIP


def attention_by_hand(guide: np.ndarray[Any, Any], shift: float, sharpness: float) -> np.ndarray[Any, Any]:
    """Weights [N, N] from features [D, N], one pair at a time."""
    count = guide.shape[1]
    cosines = np.zeros((count, count))
    for one in range(count):
        for other in range(count):
            a, b = guide[:, one], guide[:, other]
            cosines[one, other] = float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))
    limit = shift * cosines.mean()
    weights = np.zeros((count, count))
    for one in range(count):
        total = 0.0
        for other in range(count):
            if cosines[one, other] >= limit:
                weights[one, other] = math.exp(sharpness * (cosines[one, other] - limit))
                total += weights[one, other]
        weights[one] /= total
    return weights


@pytest.mark.parametrize(("shift", "sharpness"), [(1.2, 3.0), (0.0, 3.0), (2.0, 0.5)])
def test_attention_against_a_loop(shift: float, sharpness: float) -> None:
    guide = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(0)) + torch.tensor([0.1, 0.6]).view(
        2, 1, 1, 1
    )
    found = proxy_attention(guide, shift, sharpness)
    assert found.dtype == torch.float32
    for number in range(2):
        expected = attention_by_hand(guide[number].flatten(1).double().numpy(), shift, sharpness)
        assert 12 < np.count_nonzero(expected) < 144
        assert np.allclose(found[number].numpy(), expected, atol=1e-5)


def test_attention_of_equal_patches() -> None:
    """All pairs are below 1.2 times their mean: a patch attends to itself."""
    for guide in (torch.ones(2, 4, 3, 3), torch.ones(1, 4, 1, 1)):
        count = guide.shape[2] * guide.shape[3]
        assert torch.equal(proxy_attention(guide, 1.2, 3.0), torch.eye(count).expand(len(guide), -1, -1))
    assert torch.equal(proxy_attention(torch.zeros(1, 4, 2, 2), 1.2, 3.0), torch.full((1, 4, 4), 0.25))


def dense_by_hand(model: Any, guide: Tensor, images: Tensor, shift: float, sharpness: float) -> Tensor:
    """ProxyCLIP's features [embed, h, w] of one image, head by head, with open_clip's own block before the last."""
    tower = model.visual
    first, last = tower.transformer.resblocks
    pixels = normalise_pixels(images / 255)
    patches = tower.conv1(pixels)
    grid = patches.shape[-2:]
    positions = tower.positional_embedding
    if tuple(grid) != (8, 8):
        table = positions[1:].T.reshape(1, -1, 8, 8)
        table = F.interpolate(table, tuple(grid), mode="bicubic", align_corners=False)
        positions = torch.cat([positions[:1], table.flatten(2)[0].T])
    tokens = torch.cat([tower.class_embedding.view(1, 1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
    tokens = first(tower.ln_pre(tokens + positions))
    inner = last.ln_1(tokens)[0, 1:]
    width, heads = inner.shape[1], last.attn.num_heads
    weights = torch.from_numpy(attention_by_hand(guide[0].flatten(1).double().numpy(), shift, sharpness)).float()
    mixed = []
    for head in range(heads):
        rows = slice(2 * width + head * width // heads, 2 * width + (head + 1) * width // heads)
        value = inner @ last.attn.in_proj_weight[rows].T + last.attn.in_proj_bias[rows]
        as_map = value.T.reshape(1, -1, *grid)
        as_map = F.interpolate(as_map, tuple(guide.shape[-2:]), mode="bilinear", align_corners=False)
        mixed.append(weights @ as_map.flatten(2)[0].T)
    out = tower.ln_post(last.attn.out_proj(torch.cat(mixed, dim=1))) @ tower.proj
    return out.T.reshape(-1, *guide.shape[-2:])


@pytest.mark.parametrize("patch", [8, 16, 4])
@pytest.mark.parametrize("size", [(64, 64), (32, 48), (37, 55)])
def test_proxyclip_against_a_loop(patch: int, size: tuple[int, int], model: Any) -> None:
    made = image_model(patch)
    segmenter = build("proxyclip", model, image_model=made)
    assert isinstance(segmenter, ProxyClip)
    assert (segmenter.shift, segmenter.sharpness) == (1.2, 3.0)
    pixels = image(*size)
    found = segmenter.encode_image(pixels)
    covered = batch(pixels)[..., : size[0] // 8 * 8, : size[1] // 8 * 8]
    guide = made.features(covered)
    with torch.inference_mode():
        expected = dense_by_hand(model, guide, covered, 1.2, 3.0)
    assert found.dense.shape == (1, 64, covered.shape[2] // patch, covered.shape[3] // patch)
    assert torch.allclose(found.dense[0], expected, atol=1e-4)
    cosines = F.normalize(expected, dim=0)
    assert torch.allclose(segmenter.scores(found, texts(3)), torch.einsum("dhw,td->thw", cosines, texts(3)), atol=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (5, 64), (8, 8), (61, 67)])
def test_one_image_and_a_batch_agree(size: tuple[int, int], model: Any) -> None:
    segmenter = build("proxyclip", model, image_model=image_model(16))
    images = [image(*size, seed) for seed in range(2)] + [np.full((*size, 3), 7, np.uint8)]
    together = segmenter.scores(segmenter.encode_image(np.stack(images)), texts(3))
    for alone, scores in zip(images, together, strict=True):
        found = segmenter.scores(segmenter.encode_image(alone), texts(3))
        assert torch.isfinite(found).all()
        assert torch.allclose(found, scores, atol=1e-4)


def test_reduced_precision(model: Any) -> None:
    made = image_model(8)
    full, reduced = (build("proxyclip", model, image_model=made, precision=name) for name in ("float32", "bfloat16"))
    expected, found = full.encode_image(image()).dense, reduced.encode_image(image()).dense
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    # Rounding tips some pairs over the threshold: 0.950 was measured.
    assert float(F.cosine_similarity(found, expected, dim=1).min()) > 0.93


def test_proxyclip_needs_an_image_model(model: Any) -> None:
    assert line(lambda: build("proxyclip", model)) == (
        "segmenter proxyclip: image_model is missing, expected a second image model"
    )
    made = image_model()
    message = line(lambda: build("proxyclip", model, image_model=made, sharpness=0))
    assert message == "segmenter proxyclip: sharpness: found 0, expected greater than 0"
    assert "option 'image_model' is unknown" in line(lambda: build("maskclip", model, image_model=made))
    features = build("proxyclip", model, image_model=made).encode_image(image())
    segmenter = build("proxyclip", model, image_model=made)
    assert "no background handling" in line(lambda: segmenter.scores(features, texts(2), background=True))


# Any method with two models


class Propagated(Segmenter):
    """Scores of CLIP's patches are averaged over patches that the second model finds alike, as LPOSS propagates labels."""

    scored_extra = ("guide",)

    def __init__(self, clip_model: Any, image_model: ImageModel) -> None:
        super().__init__(clip_model)
        self.image_model = image_model

    def _encode(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return self.tower.values(images / 255), {"guide": self.image_model.features(images)}

    def _combine(self, features: Features, similarities: Tensor, background: bool) -> Tensor:
        guide = features.extra["guide"]
        scores = F.interpolate(torch.softmax(100 * similarities, dim=1), guide.shape[-2:], mode="bilinear")
        affinities = proxy_attention(guide, 1.0, 10.0)
        return (scores.flatten(2) @ affinities.transpose(1, 2)).view(*scores.shape[:2], *guide.shape[-2:])


PROTOCOL = Protocol(short_side=64, long_side=128, window=48, stride=24, batch=3)


@pytest.mark.parametrize("method", ["propagated", "proxyclip"])
def test_stored_features_score_as_fresh_ones(method: str, model: Any, tmp_path: Path) -> None:
    made = image_model(8)
    segmenter = Propagated(model, made) if method == "propagated" else build("proxyclip", model, image_model=made)
    samples = [
        Sample(f"{seed}", image(50, 70 + 9 * seed, seed), np.zeros((50, 70 + 9 * seed), np.uint8)) for seed in range(3)
    ]
    fresh = list(encode_samples(segmenter, samples, PROTOCOL))
    path = tmp_path / "features.safetensors"
    write_features(path, fresh, segmenter.scored_extra)
    stored = list(read_features(path))
    assert len(stored) == 3
    sets = [[0, 2], [1, 3], [4, 0]]
    for one, other in zip(fresh, stored, strict=True):
        features, read = one.encoded.features, other.encoded.features
        assert torch.equal(features.dense, read.dense)
        assert read.extra.keys() == set(segmenter.scored_extra)
        assert all(torch.equal(features.extra[name], read.extra[name]) for name in read.extra)
        compared = [similarities(segmenter, each.encoded, texts(5)) for each in (one, other)]
        scores = [segmenter.combine(each, compared[0][:, [0, 2]]) for each in (features, read)]
        # Read tensors have another memory layout, so sums round differently.
        assert torch.allclose(*compared, atol=1e-6)
        assert torch.allclose(*scores, atol=1e-6)
        found = [label_map(segmenter, one.encoded, compared[0], columns) for columns in sets]
        at_once = torch.cat([maps for _, maps in label_maps(segmenter, other.encoded, compared[1], sets, 10**9)])
        assert float((at_once == torch.stack(found)).float().mean()) > 0.999
        assert 0 < float(torch.stack(found).float().mean()) < 1


def test_the_second_model_changes_the_scores(model: Any) -> None:
    segmenter = Propagated(model, image_model(8))
    features = segmenter.encode_image(image())
    assert features.extra["guide"].shape == (1, 192, 8, 8)
    plain = build("maskclip", model)
    alone = plain.scores(plain.encode_image(image()), texts(3))
    together = segmenter.scores(features, texts(3))
    assert not torch.allclose(together, alone, atol=1e-2)
    expected = alone.flatten(1) @ proxy_attention(features.extra["guide"], 1.0, 10.0)[0].T
    assert torch.allclose(together.flatten(1), expected, atol=1e-5)
