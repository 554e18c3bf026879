"""The original segmenters' outputs on synthetic weights, array by array (tolerances: the parity folder's README)."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from contrastive_concepts.segmenters import build
from contrastive_concepts.segmenters.pamr import pamr
from contrastive_concepts.segmenters.tower import normalise_pixels, to_map, value_only
from tests.conftest import DATA
from tests.synthetic_clip import clip_model, masker

PARITY = DATA / "parity"
pytestmark = pytest.mark.skipif(not PARITY.is_dir(), reason="../shared/data/parity is not on this machine")

Arrays = dict[str, np.ndarray[Any, Any]]


def arrays(path: str) -> Arrays:
    with np.load(PARITY / path) as stored:
        return {name: stored[name] for name in stored.files}


def close(found: torch.Tensor, expected: np.ndarray[Any, Any], relative: float = 1e-5) -> None:
    """Largest difference against the largest value."""
    assert tuple(found.shape) == expected.shape
    difference = np.abs(found.detach().numpy() - expected).max()
    assert difference <= relative * np.abs(expected).max(), difference


def near(found: torch.Tensor, expected: np.ndarray[Any, Any]) -> None:
    """Probabilities: absolute."""
    assert tuple(found.shape) == expected.shape
    assert np.abs(found.detach().numpy() - expected).max() <= 1e-4


def same_labels(scores: torch.Tensor, expected: np.ndarray[Any, Any], tie: float) -> None:
    """Labels may differ where the two best scores are nearly the same."""
    best = scores.topk(2, dim=0).values
    differs = scores.argmax(dim=0).numpy() != expected
    assert not (differs & (best[0] - best[1] > tie).numpy()).any()
    assert differs.mean() < 1e-3


def enlarge(scores: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]


@pytest.fixture(scope="module")
def gelu_model() -> Any:
    return clip_model()


@pytest.mark.parametrize("name", ["A448", "B224"])
def test_maskclip(name: str, gelu_model: Any) -> None:
    stored = arrays(f"maskclip/{name}.npz")
    segmenter = build("maskclip", gelu_model)
    features = segmenter.encode_image(stored["image_u8"])
    close(features.dense, stored["feat"])
    text = torch.from_numpy(stored["class_embeddings"])
    close(segmenter.similarities(features, text), stored["cos"])
    near(segmenter.scores(features, text), stored["probs"][0])
    near(segmenter.scores(features, stored["spread_embeddings"]), stored["probs_spread"][0])

    tower = segmenter.tower
    pixels = torch.from_numpy(stored["image_u8"]).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        tokens, grid = tower.tokens(normalise_pixels(pixels))
        for block in tower.blocks[:-1]:
            tokens = block(tokens)
        last = tower.visual.ln_post(value_only(tower.blocks[-1], tokens))
    close(to_map(last, grid), stored["v_lnpost"])


@pytest.mark.parametrize("name", ["A448", "B224"])
def test_clip_dinoiser(name: str, gelu_model: Any) -> None:
    stored = arrays(f"clip_dinoiser/{name}.npz")
    segmenter: Any = build("clip_dinoiser", gelu_model, checkpoint=PARITY / "clip_dinoiser" / "last_small.pt")
    features = segmenter.encode_image(stored["image_u8"])
    guide = features.extra["guide"]
    close(guide, to_map(torch.from_numpy(stored["clip_inter_with_cls"]), guide.shape[-2:]).numpy())
    close(features.extra["saliency_logit"], stored["saliency_logit"])
    close(features.extra["feat"], stored["feat"])
    close(features.dense, stored["pooled"])
    rows = stored["corrs"].shape[1]
    correlations = segmenter.correlations(guide)[:, :rows]
    close(correlations.reshape(stored["corrs"].shape), stored["corrs"])
    for background, suffix in ((False, "nofound"), (True, "found")):
        scores = segmenter.scores(features, stored["class_embeddings"], background)
        near(scores, stored[f"out_{suffix}"][0])
        same_labels(enlarge(scores, features.size), stored[f"argmax_up_{suffix}"][0], 1e-4)


@pytest.mark.parametrize(("name", "quick"), [("A448_q0", False), ("B224_q1", True)])
def test_gem(name: str, quick: bool) -> None:
    stored = arrays(f"gem/{name}_d7_i1_tNone.npz")
    model = clip_model(quick_gelu=quick)
    segmenter = build("gem", model)
    features = segmenter.encode_image(stored["image_u8"])
    close(features.dense, to_map(torch.from_numpy(stored["feat_gem"]), features.dense.shape[-2:]).numpy())
    text = stored["text"][0]
    scores = enlarge(segmenter.scores(features, text), features.size)
    close(scores[:, ::4, ::4], stored["batched100_up"])
    close(scores[:, ::4, ::4] / 100, stored["cos_up"][0])
    same_labels(scores, stored["argmax_raw"][0], 1e-3)
    scaled = build("gem", model, minmax=True).scores(features, text)
    near(scaled[:, ::4, ::4], stored["minmax_up"][0])
    same_labels(scaled, stored["argmax_minmax"][0], 1e-4)

    tower = segmenter.tower
    pixels = normalise_pixels(torch.from_numpy(stored["image_u8"]).permute(2, 0, 1)[None] / 255)
    with torch.inference_mode():
        tokens, _ = tower.tokens(pixels, antialias=True)
        for block in tower.blocks:
            tokens = block(tokens)
        close(tower.project(tokens), stored["feat_ori"])


@pytest.fixture(scope="module")
def tcl_model() -> Any:
    return clip_model(quick_gelu=True, text_heads=1, half=True)


@pytest.mark.parametrize("texts", ["custom", "spread"])
def test_tcl(texts: str, tcl_model: Any) -> None:
    stored = arrays("tcl/B224.npz")
    segmenter: Any = build("tcl", tcl_model, checkpoint=masker())
    features = segmenter.encode_image(stored["image_u8"])
    close(F.normalize(features.dense, dim=1), stored["masker_image_emb"] / norms(stored["masker_image_emb"]))
    text = torch.from_numpy(stored[f"text_{texts}"])
    close(torch.einsum("bdhw,td->bthw", F.normalize(features.dense, dim=1), text), stored[f"simmap_{texts}"])
    for knowledge, key in ((0.0, "mask_raw"), (1.0, "kp_only")):
        segmenter.knowledge = knowledge
        near(segmenter.similarities(features, text), stored[f"{key}_{texts}"])
    for refine, threshold in ((False, 0.5), (True, 0.4)):
        for knowledge in (0.0, 0.3):
            segmenter.refine, segmenter.threshold, segmenter.knowledge = refine, threshold, knowledge
            suffix = f"{texts}_pamr{int(refine)}_kp{knowledge}"
            scores = segmenter.scores(features, text, background=True)
            near(scores[1:], stored[f"mask_{suffix}"][0])
            same_labels(scores, stored[f"argmax_{suffix}_bg{threshold}"][0], 1e-4)


def test_tcl_inner(tcl_model: Any) -> None:
    stored = arrays("tcl/B224.npz")
    segmenter: Any = build("tcl", tcl_model, checkpoint=masker())
    pixels = torch.from_numpy(stored["image_u8"]).permute(2, 0, 1)[None].float()
    features = segmenter.encode_image(stored["image_u8"])
    with torch.inference_mode():
        tokens, grid = segmenter.tower.tokens(features.extra["pixels"])
        for block in segmenter.tower.blocks[:-1]:
            tokens = block(tokens)
        close(tokens.transpose(0, 1), stored["block10_output_LND"])
        close(value_only(segmenter.block, tokens), stored["masker_backbone_out_BLC"])
        last = value_only(segmenter.tower.blocks[-1], tokens)
    close(to_map(last, grid), stored["clip_final_tokens_nolnpost"])
    assert features.extra["pixels"].shape == pixels.shape


def norms(maps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(np.linalg.norm(maps, axis=1, keepdims=True))


def test_pamr_against_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    image, mask = torch.rand(1, 3, 7, 6, generator=generator), torch.rand(1, 2, 7, 6, generator=generator)
    found = pamr(image, mask, iterations=2, dilations=(1, 3))
    expected = mask[0].double()
    offsets = [(r * d, c * d) for d in (1, 3) for r in (-1, 0, 1) for c in (-1, 0, 1)]
    clamp = lambda y, x: (min(max(y, 0), 6), min(max(x, 0), 5))  # noqa: E731
    for _ in range(2):
        previous, expected = expected, expected.clone()
        for y in range(7):
            for x in range(6):
                here = image[0, :, y, x].double()
                seen = torch.stack([image[0][(slice(None), *clamp(y + r, x + c))].double() for r, c in offsets])
                deviation = seen.std(dim=0)
                around = [index for index, offset in enumerate(offsets) if offset != (0, 0)]
                affinity = -((here - seen[around]).abs() / (1e-8 + 0.1 * deviation)).mean(dim=1)
                weights = affinity.softmax(dim=0)
                masks = torch.stack(
                    [previous[(slice(None), *clamp(y + offsets[i][0], x + offsets[i][1]))] for i in around]
                )
                expected[:, y, x] = (weights[:, None] * masks).sum(dim=0)
    assert torch.allclose(found[0].double(), expected, atol=1e-5)
