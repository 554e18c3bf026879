"""ProxyCLIP against loops, and methods that keep and score the features of two models."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.evaluation.datasets import Sample
from contrastive_concepts.evaluation.features import encode_samples, read_features, write_features
from contrastive_concepts.evaluation.protocol import label_map, label_maps, similarities
from contrastive_concepts.segmenters import build
from contrastive_concepts.segmenters.image_model import ImageModel
from contrastive_concepts.segmenters.proxyclip import ProxyClip, proxy_attention
from contrastive_concepts.segmenters.segmenter import Features, Segmenter
from contrastive_concepts.segmenters.tower import normalise_pixels
from tests.synthetic_clip import clip_model
from tests.test_image_model import batch, image, image_model, line, texts


@pytest.fixture(scope="module")
def model() -> Any:
    return clip_model(layers=2, patch=8, size=64)


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
    # With other weights rounding tips a pair over the threshold now and then, and with it one of the 64 places.
    alike = F.cosine_similarity(found, expected, dim=1)
    assert float(alike.median()) > 0.9999
    assert float(alike.min()) > 0.93


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
