"""Which image towers the segmenters read, and MaskCLIP through the pooling head of towers like SigLIP's."""

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from open_clip.model import CustomTextCLIP
from timm.layers import AttentionPoolLatent
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from contrastive_concepts.errors import UserError
from contrastive_concepts.segmenters import build
from contrastive_concepts.segmenters.segmenter import Segmenter
from tests.synthetic_clip import clip_model, masker

PATCH, EMBED = 16, 48
TEXT = {"context_length": 16, "vocab_size": 100, "width": 32, "heads": 2, "layers": 1}
READABLE = (
    "expected an open_clip ViT (not timm's) with a class token and no attention pooling, such as ViT-B-16, ViT-L-14 or "
    "ViT-L-14-CLIPA"
)
POOLED = "expected a timm ViT with attention pooling and no class token, such as ViT-B-16-SigLIP or ViT-B-16-SigLIP2"
HEADS: dict[str, dict[str, Any]] = {
    "as SigLIP": {},
    "norm after the pool": {"fc_norm": True},
    "norm before the blocks": {"pre_norm": True},
    "a projection in the trunk": {"num_classes": EMBED, "embed_dim": 64},
    "a projection after the trunk": {"embed_dim": 64, "proj": "linear"},
    "normalised keys": {"pool": {"qk_norm": True, "norm_layer": torch.nn.LayerNorm}},
    "no MLP in the pool": {"pool": {"out_features": 0}},
    "several queries": {"pool": {"latent_len": 3, "pool_type": "avg"}},
}


def siglip(
    size: int = 64,
    proj: str = "none",
    pool: dict[str, Any] | None = None,
    **trunk: Any,
) -> Any:
    """A small open_clip model with a tower like SigLIP's and random weights."""
    vision = {"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": proj, "image_size": size}
    model = CustomTextCLIP(EMBED, vision, TEXT)
    shape = {"img_size": size, "patch_size": PATCH, "embed_dim": EMBED, "depth": 2, "num_heads": 4, "num_classes": 0}
    model.visual.trunk = VisionTransformer(**{**shape, **trunk}, class_token=False, global_pool="map")
    if pool is not None:
        model.visual.trunk.attn_pool = AttentionPoolLatent(EMBED, num_heads=4, **pool)
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.2, generator=stream)
    return model.eval()


def pooled(model: Any, **options: Any) -> Segmenter:
    return build("maskclip", model, pooling_head=True, **options)


def image(height: int, width: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def pixels(photo: np.ndarray[Any, Any], mean: float = 0.5, std: float = 0.5) -> Tensor:
    return (torch.from_numpy(photo).permute(2, 0, 1)[None] / 255 - mean) / std


@torch.no_grad()
def one_by_one(model: Any, photo: np.ndarray[Any, Any]) -> Tensor:
    """Features of an image of the model's size, [N, embed]: timm's own head on each patch alone."""
    tokens = model.visual.trunk.forward_features(pixels(photo))[0]
    return torch.cat([model.visual.head(model.visual.trunk.forward_head(token[None, None])) for token in tokens])


def one_line(name: str, model: Any, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        build(name, model, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def named_tower(name: str) -> Any:
    """A model of open_clip without memory for its weights."""
    config = open_clip.get_model_config(name)
    with torch.device("meta"):
        return SimpleNamespace(visual=open_clip.model._build_vision_tower(config["embed_dim"], config["vision_cfg"]))


@pytest.mark.parametrize("head", HEADS)
def test_the_feature_of_the_only_patch_is_the_image_vector(head: str) -> None:
    model = siglip(size=PATCH, **HEADS[head])
    photo = image(PATCH, PATCH)
    features = pooled(model).encode_image(photo).dense
    assert features.shape == (1, EMBED, 1, 1)
    with torch.no_grad():
        assert torch.allclose(features[:, :, 0, 0], model.encode_image(pixels(photo)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_a_feature_is_what_the_head_makes_of_its_patch_alone(head: str) -> None:
    model = siglip(**HEADS[head])
    features = pooled(model).encode_image(image(64, 64)).dense
    expected = one_by_one(model, image(64, 64))
    assert torch.allclose(features[0].flatten(1).T, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(expected[0], expected[1], atol=0.1)


def test_positions_are_interpolated_to_a_larger_image() -> None:
    model = siglip()
    photo = image(80, 128)
    features = pooled(model).encode_image(photo).dense
    larger = copy.deepcopy(model)
    larger.visual.trunk.set_input_size((80, 128))
    stored = model.visual.trunk.pos_embed.detach().reshape(1, 4, 4, EMBED).permute(0, 3, 1, 2)
    table = F.interpolate(stored, (5, 8), mode="bicubic").permute(0, 2, 3, 1).reshape(1, 40, EMBED)
    # timm's table differs by 0.05: with antialiasing, PyTorch uses another bicubic kernel, even to enlarge.
    assert torch.allclose(larger.visual.trunk.pos_embed, table, atol=0.1)
    larger.visual.trunk.pos_embed = torch.nn.Parameter(table)
    assert features.shape == (1, EMBED, 5, 8)
    assert torch.allclose(features[0].flatten(1).T, one_by_one(larger, photo), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("size", "grid"), [((64, 64), (4, 4)), ((61, 67), (3, 4)), ((5, 64), (1, 4)), ((1, 1), (1, 1))]
)
def test_images_of_any_size(size: tuple[int, int], grid: tuple[int, int]) -> None:
    segmenter = pooled(siglip())
    images = [image(*size, seed=seed) for seed in range(2)]
    together = segmenter.encode_image(np.stack(images))
    assert together.dense.shape == (2, EMBED, *grid)
    for alone, found in zip(images, together.dense, strict=True):
        assert torch.allclose(segmenter.encode_image(alone).dense[0], found, atol=1e-4)
    assert torch.isfinite(together.dense).all()
    if size == (61, 67):
        cut = segmenter.encode_image(images[0][:48, :64]).dense[0]
        assert torch.allclose(cut, together.dense[0], atol=1e-4)


def test_texts_have_the_features_width() -> None:
    model = siglip()
    segmenter = pooled(model)
    with torch.no_grad():
        texts = F.normalize(model.encode_text(torch.randint(1, 100, (3, 16))), dim=1)
    assert segmenter.tower.embed == texts.shape[1] == EMBED
    assert segmenter.tower.device == torch.device("cpu")
    features = segmenter.encode_image(image(64, 64))
    scores = segmenter.scores(features, texts)
    assert scores.shape == (3, 4, 4)
    assert torch.allclose(scores.sum(0), torch.ones(4, 4))
    scoring = pooled(None)
    assert torch.equal(scoring.combine(features, scoring.similarities(features, texts))[0], scores)
    with pytest.raises(UserError, match=r"texts: found \(3, 47\), expected \[C, 48\]"):
        segmenter.scores(features, texts[:, 1:])


@pytest.mark.parametrize("pooling_head", [False, True])
def test_scores_need_no_model(pooling_head: bool) -> None:
    tower = pooled(siglip()) if pooling_head else build("maskclip", clip_model(layers=2, patch=16, size=64))
    features = tower.encode_image(image(64, 64))
    texts = F.normalize(torch.randn(2, features.dense.shape[1]), dim=1)
    scoring = build("maskclip", None, pooling_head=pooling_head)
    found = scoring.combine(features, scoring.similarities(features, texts))[0]
    assert torch.equal(found, tower.scores(features, texts))


def test_reduced_precision_through_the_pooling_head() -> None:
    model = siglip()
    exact, rough = (pooled(model, precision=p).encode_image(image(61, 67)).dense for p in ("float32", "bfloat16"))
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    assert float(F.cosine_similarity(exact, rough, dim=1).min()) > 0.99


@pytest.mark.parametrize(
    ("stored", "used"),
    [
        (None, (0.5, 0.5)),
        ((0.5, 0.5), (0.5, 0.5)),
        ((0.4, 0.3), (0.4, 0.3)),
        # open_clip's, where it knows nothing: for weights in a local file
        ((open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD), (0.5, 0.5)),
    ],
)
def test_pixels_are_normalised_as_the_model_was_trained(stored: Any, used: tuple[float, float]) -> None:
    model = siglip(size=PATCH)
    if stored is not None:
        mean, std = (value if isinstance(value, tuple) else [value] * 3 for value in stored)
        open_clip.model.set_model_preprocess_cfg(model, {"mean": mean, "std": std})
    photo = image(PATCH, PATCH)
    with torch.no_grad():
        expected = model.encode_image(pixels(photo, *used))
    assert torch.allclose(pooled(model).encode_image(photo).dense[:, :, 0, 0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pooling_head", [False, True])
def test_nothing_is_dropped_at_random(pooling_head: bool) -> None:
    from open_clip.transformer import PatchDropout

    model = siglip(patch_drop_rate=0.5, drop_path_rate=0.5) if pooling_head else clip_model(layers=2, patch=16, size=64)
    if not pooling_head:
        model.visual.patch_dropout = PatchDropout(0.5)
    segmenter = build("maskclip", model.train(), pooling_head=pooling_head)
    first, second = (segmenter.encode_image(image(64, 64)).dense for _ in range(2))
    assert first.shape[-2:] == (4, 4)
    assert torch.equal(first, second)


@pytest.mark.parametrize("final_ln_after_pool", [False, True])
@pytest.mark.parametrize("no_ln_pre", [False, True])
def test_towers_that_average_their_patches(final_ln_after_pool: bool, no_ln_pre: bool) -> None:
    """CLIPA and the toy CLIP: of an image of one patch, the feature is the image vector if the last block keeps apart."""
    vision = {"image_size": 16, "layers": 2, "width": 64, "patch_size": 16, "pool_type": "avg", "patch_dropout": 0.5}
    vision |= {"final_ln_after_pool": final_ln_after_pool, "no_ln_pre": no_ln_pre}
    model = open_clip.model.CLIP(EMBED, vision, TEXT).eval()
    photo = image(16, 16)
    found = build("maskclip", model).encode_image(photo).dense[:, :, 0, 0]
    last = model.visual.transformer.resblocks[-1]

    def alone(q_x: Tensor, **_: Any) -> Tensor:
        value = F.linear(q_x, last.attn.in_proj_weight, last.attn.in_proj_bias).chunk(3, dim=-1)[2]
        return last.attn.out_proj(value)  # type: ignore[no-any-return]

    last.attention = alone
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
    with torch.no_grad():
        expected = model.encode_image((pixels(photo, 0, 1) - mean) / std)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("RN50", "ModifiedResNet (attention pooling, no class token)"),
        ("convnext_tiny", "TimmModel (ConvNeXt, no attention pooling, no class token)"),
        ("coca_ViT-B-32", "VisionTransformer (attention pooling, class token)"),
        ("EVA02-B-16", "TimmModel (Eva, no attention pooling, class token)"),
        ("PE-Core-T-16-384", "TimmModel (Eva, attention pooling, class token)"),
        ("ViTamin-S", "TimmModel (VisionTransformer, no attention pooling, no class token)"),
        ("MobileCLIP-S1", "TimmModel (FastVit, no attention pooling, no class token)"),
        ("MobileCLIP-B", "TimmModel (VisionTransformer, no attention pooling, class token)"),
    ],
)
def test_other_towers_are_one_line(name: str, found: str) -> None:
    model = named_tower(name)
    for method in ("maskclip", "gem", "sclip"):
        assert one_line(method, model) == f"segmenter: found the image tower {found}, {READABLE}"
    expected = f"segmenter maskclip: option pooling_head: found the image tower {found}, {POOLED}"
    assert one_line("maskclip", model, pooling_head=True) == expected


def test_a_tower_without_a_class_token_needs_the_option() -> None:
    expected = (
        "segmenter: found the image tower TimmModel (VisionTransformer, attention pooling, no class token), "
        f"{READABLE}; maskclip reads it with pooling_head: true"
    )
    for name in ("ViT-B-16-SigLIP", "ViT-B-16-SigLIP2"):
        model = named_tower(name)
        for method in ("maskclip", "gem", "sclip", "clearclip", "naclip"):
            assert one_line(method, model) == expected
        assert one_line("tcl", model, checkpoint=masker(layers=2)) == expected
        assert one_line("clip_dinoiser", model, checkpoint={"a": torch.zeros(1)}) == expected
        assert pooled(model).tower.embed == 768


def test_a_tower_with_a_class_token_has_no_pooling_head() -> None:
    model = clip_model(layers=2, patch=16, size=64)
    assert one_line("maskclip", model, pooling_head=True) == (
        "segmenter maskclip: option pooling_head: found the image tower VisionTransformer (no attention pooling, class "
        f"token), {POOLED}"
    )
    assert one_line("maskclip", torch.nn.Linear(2, 2)) == f"segmenter: found no image tower, {READABLE}"
    assert "found no image tower, " in one_line("maskclip", torch.nn.Linear(2, 2), pooling_head=True)


def test_a_tower_that_lacks_what_features_need_is_one_line() -> None:
    model = clip_model(layers=2, patch=16, size=64)
    model.visual.proj = None
    assert one_line("maskclip", model) == (
        "segmenter: found the image tower VisionTransformer (no attention pooling, class token) without a projection, "
        "expected visual.proj, as in ViT-B-16"
    )
    vision = {"image_size": 64, "layers": 1, "width": 64, "patch_size": 16, "block_type": "custom", "qk_norm": True}
    assert one_line("maskclip", open_clip.model.CLIP(EMBED, vision, TEXT)) == (
        "segmenter: found the image tower VisionTransformer (no attention pooling, class token) with Attention in its "
        "blocks, expected nn.MultiheadAttention, as in ViT-B-16"
    )
