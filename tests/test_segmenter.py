"""The segmenters' interface on tiny towers, their background handling, and checkpoints that are not what they should be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contrastive_concepts.config.evaluation import BackboneSettings, ImageModelSettings, SegmenterSettings
from contrastive_concepts.config.methods import METHODS
from contrastive_concepts.errors import UserError
from contrastive_concepts.segmenters import build
from contrastive_concepts.segmenters.configured import configured_segmenter
from contrastive_concepts.segmenters.image_model import load_image_model
from contrastive_concepts.segmenters.segmenter import Segmenter, probabilities
from tests.synthetic_clip import clip_model, draw, masker

HEADS = {
    name: draw(name, shape, 1)
    for name, shape in {
        "obj_proj.weight": (256, 128, 3, 3),
        "obj_proj.bias": (256,),
        "bkg_decoder.weight": (1, 128, 1, 1),
        "bkg_decoder.bias": (1,),
    }.items()
}
NAMES = tuple(METHODS)


@pytest.fixture(scope="module")
def model() -> Any:
    return clip_model(layers=2, patch=8, size=64)


def made(name: str, model: Any, **options: Any) -> Segmenter:
    heads = {"tcl": masker(layers=2), "clip_dinoiser": HEADS}
    objects = {"checkpoint": heads[name]} if name in heads else {}
    if METHODS[name].image_model:
        settings = ImageModelSettings(model="vit_tiny_patch16_224", pretrained=False)
        objects["image_model"] = load_image_model(settings, ".", "cpu")
    return build(name, model, **objects, **options)


def image(height: int = 64, width: int = 64, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def texts(count: int) -> torch.Tensor:
    return torch.nn.functional.normalize(draw("texts", (count, 64), 3), dim=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(64, 64), (40, 96), (61, 67), (5, 64)])
def test_one_image_and_a_batch_agree(name: str, size: tuple[int, int], model: Any) -> None:
    segmenter = made(name, model)
    images = [image(*size, seed=seed) for seed in range(2)]
    together = segmenter.scores(segmenter.encode_image(np.stack(images)), texts(3))
    for alone, scores in zip(images, together, strict=True):
        found = segmenter.scores(segmenter.encode_image(alone), texts(3))
        assert found.shape == scores.shape
        assert found.shape[0] == 3
        assert torch.allclose(found, scores, atol=1e-4)
        assert torch.isfinite(found).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_encoder_runs_once_for_many_sets(name: str, model: Any) -> None:
    segmenter = made(name, model)
    calls: list[int] = []
    handle = segmenter.tower.visual.conv1.register_forward_hook(lambda *_: calls.append(1))
    features = segmenter.encode_image(image())
    for count in (1, 2, 5):
        segmenter.scores(features, texts(count))
    handle.remove()
    assert len(calls) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_compared_whatever_the_others_are(name: str, model: Any) -> None:
    segmenter = made(name, model)
    features = segmenter.encode_image(image())
    every = segmenter.similarities(features, texts(5))
    assert torch.allclose(every[:, [3, 1]], segmenter.similarities(features, texts(5)[[3, 1]]), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(64, 64), (61, 67)])
def test_reduced_precision(name: str, size: tuple[int, int], model: Any) -> None:
    full, reduced = made(name, model), made(name, model, precision="bfloat16")
    expected, found = full.encode_image(image(*size)), reduced.encode_image(image(*size))
    assert found.dense.dtype == torch.float32
    assert {key: value.dtype for key, value in found.extra.items()} == dict.fromkeys(expected.extra, torch.float32)
    assert found.dense.shape == expected.dense.shape
    assert not torch.equal(found.dense, expected.dense)
    alike = torch.nn.functional.cosine_similarity(found.dense, expected.dense, dim=1)
    # These drop correlations below a threshold, and rounding tips some over it: 0.980 and 0.95 were measured.
    assert float(alike.min()) > {"clip_dinoiser": 0.97, "proxyclip": 0.94}.get(name, 0.99)
    assert reduced.scores(found, texts(3)).dtype == torch.float32
    with pytest.raises(UserError, match="precision: found 'int8', expected one of float32, bfloat16, float16"):
        made(name, model, precision="int8")


def test_own_background_handling(model: Any) -> None:
    segmenter = made("maskclip", model)
    features = segmenter.encode_image(image())
    with pytest.raises(UserError, match="no background handling"):
        segmenter.scores(features, texts(2), background=True)
    tcl = made("tcl", model, threshold=0.25)
    scores = tcl.scores(tcl.encode_image(image()), texts(2), background=True)
    assert scores.shape == (3, 64, 64)
    assert (scores[0] == 0.25).all()
    gem = made("gem", model, threshold=0.6)
    logits = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = gem.finish(logits, background=True).argmax(0)
    best, index = logits.softmax(0).max(0)
    assert torch.equal(labels, torch.where(best < 0.6, 0, index + 1))
    assert len(labels.unique()) > 1


def test_probabilities_without_subnormal_numbers() -> None:
    cosines = torch.linspace(-1, 1, 64).view(1, 16, 2, 2)
    exact = torch.softmax(100 * cosines, dim=1)
    assert ((exact > 0) & (exact < torch.finfo(torch.float32).tiny)).any()
    found = probabilities(cosines)
    assert not ((found > 0) & (found < 1e-30)).any()
    assert torch.equal(torch.where(exact > 1e-30, exact, 0), found)


def test_wrong_use_is_one_line(model: Any) -> None:
    for name, options, message in (
        ("clip", {}, "found 'clip', expected one of"),
        ("gem", {"dept": 3}, "option 'dept' is unknown"),
        ("gem", {"depth": 9}, "found 9, expected 2..3 for 2 blocks"),
        ("tcl", {}, "checkpoint is missing"),
    ):
        with pytest.raises(UserError, match=message):
            build(name, model, **options)
    segmenter = made("maskclip", model)
    for wrong in (image().astype(np.float32), image()[..., :2], np.zeros((0, 4, 3), np.uint8), image()[..., 0]):
        with pytest.raises(UserError, match="expected uint8 RGB"):
            segmenter.encode_image(wrong)
    with pytest.raises(UserError, match="expected an open_clip ViT"):
        build("maskclip", torch.nn.Linear(2, 2))


@pytest.mark.parametrize("name", ["tcl", "clip_dinoiser"])
def test_official_files(name: str, model: Any, tmp_path: Path) -> None:
    heads, wrapper = {"tcl": (masker(layers=2), "model"), "clip_dinoiser": (HEADS, "model_state_dict")}[name]
    tower = "clip_image_encoder.clip_visual." if name == "tcl" else "clip_backbone.backbone.visual."
    expected = made(name, model).scores(made(name, model).encode_image(image()), texts(2))
    path = tmp_path / "heads.pt"
    for content in (
        {wrapper: heads, "epoch": 3},
        heads,
        {wrapper: heads | {f"{tower}class_embedding": torch.ones(128)}},
    ):
        torch.save(content, path)
        segmenter = build(name, model, checkpoint=path)
        assert torch.equal(segmenter.scores(segmenter.encode_image(image()), texts(2)), expected)

    first = next(iter(heads))
    without = {key: value for key, value in heads.items() if key != first}
    wrong = [
        (without, "is missing"),
        (heads | {first: torch.zeros(3)}, r"found shape \(3,\)"),
        (heads | {first: torch.full_like(heads[first], torch.nan)}, "not finite"),
        (heads | {"surprise.weight": torch.zeros(1)}, "unknown key 'surprise.weight'"),
        ({}, "no state dict"),
    ]
    for state, message in wrong:
        torch.save({wrapper: state}, path)
        with pytest.raises(UserError, match=message):
            build(name, model, checkpoint=path)
    torch.save({wrapper: heads}, path)
    intact = path.read_bytes()
    for broken in (intact[: len(intact) // 2], b"", b"<html>"):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=r"heads\.pt: cannot be read"):
            build(name, model, checkpoint=path)
    with pytest.raises(UserError, match="not found"):
        build(name, model, checkpoint=tmp_path / "absent.pt")


def test_the_configuration_sets_the_precision() -> None:
    backbone = BackboneSettings(model="toyworld-clip", pretrained=None, training_data="toy world")
    settings = SegmenterSettings(method="maskclip", backbones=["toy"], options={"precision": "bfloat16"})
    half, _, _ = configured_segmenter(settings, backbone, ".")
    full, _, _ = configured_segmenter(settings.model_copy(update={"options": {}}), backbone, ".")
    assert half.precision == torch.bfloat16
    rough, exact = (segmenter.encode_image(image()).dense for segmenter in (half, full))
    assert 1e-6 < float((rough - exact).abs().max()) < 0.05 * float(exact.abs().max())
    wrong = settings.model_copy(update={"options": {"precision": "int8"}})
    with pytest.raises(UserError, match="precision: found 'int8', expected one of float32, bfloat16, float16"):
        configured_segmenter(wrong, backbone, ".")


def test_gem_in_a_tower_with_layer_scale() -> None:
    """A residual is scaled where the tower does it: against the blocks with LayerScale folded into their weights."""
    import copy

    from open_clip.transformer import LayerScale

    scaled, folded = clip_model(layers=2, patch=8, size=64), clip_model(layers=2, patch=8, size=64)
    for number, (block, plain) in enumerate(
        zip(scaled.visual.transformer.resblocks, folded.visual.transformer.resblocks, strict=True)
    ):
        block.ls_1, block.ls_2 = LayerScale(128, 0.3 + number), LayerScale(128, 0.7)
        with torch.no_grad():
            for layer, factor in ((plain.attn.out_proj, 0.3 + number), (plain.mlp.c_proj, 0.7)):
                layer.weight *= factor
                layer.bias *= factor
    for name in NAMES:
        if name == "tcl":  # its own block has weights of its own, without LayerScale
            continue
        found, expected = (made(name, copy.deepcopy(model)).encode_image(image()).dense for model in (scaled, folded))
        assert torch.allclose(found, expected, atol=1e-4), name
    plain = made("gem", clip_model(layers=2, patch=8, size=64)).encode_image(image()).dense
    assert not torch.allclose(made("gem", scaled).encode_image(image()).dense, plain, atol=1e-2)


def test_gem_scales_what_was_enlarged(model: Any) -> None:
    segmenter = made("gem", model)
    features = segmenter.encode_image(image())
    pixels = torch.nn.functional.interpolate(
        segmenter.scores(features, texts(3))[None], (64, 64), mode="bilinear", align_corners=False
    )[0]
    low, high = pixels.amin((1, 2), keepdim=True), pixels.amax((1, 2), keepdim=True)
    found = made("gem", model, minmax=True).scores(features, texts(3))
    assert torch.allclose(found, (pixels - low) / (high - low), atol=1e-5)
    tiny = made("gem", model, minmax=True)
    assert torch.isfinite(tiny.scores(tiny.encode_image(image(8, 8)), texts(2))).all()  # one patch, a constant map


@pytest.mark.parametrize(("height", "width"), [(5, 12), (8, 8), (4, 16), (9, 6)])
def test_positions_that_are_resized_by_factors(height: int, width: int, model: Any) -> None:
    """Row i samples the stored rows at (i + 0.5) 8 / (h + 0.1) - 0.5 with Keys' cubic kernel, a = -0.75."""

    def weight(distance: float) -> float:
        d, a = abs(distance), -0.75
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0

    def matrix(size: int) -> torch.Tensor:
        rows = torch.zeros(size, 8, dtype=torch.float64)
        for row in range(size):
            place = (row + 0.5) * 8 / (size + 0.1) - 0.5
            for tap in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
                rows[row, min(max(tap, 0), 7)] += weight(place - tap)
        return rows

    tower = made("sclip", model).tower
    table = tower.visual.positional_embedding.detach()
    found = tower.positions((height, width), "scaled")
    if height * width == 64:  # as many as are stored: taken as they are, whatever the shape
        assert torch.equal(found, table)
        return
    stored = table[1:].double().reshape(8, 8, -1)
    expected = torch.einsum("ia,jb,abc->ijc", matrix(height), matrix(width), stored).reshape(height * width, -1)
    assert torch.allclose(found[1:].double(), expected, atol=1e-5)
    assert torch.equal(found[0], table[0])
