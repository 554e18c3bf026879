"""The segmenters' arrays on a drawn tower and a photo of noise, as they were when all of the originals' arrays were met.

tests/test_segmenter_parity.py compares with the originals, but needs files that are not part of the project. After a
change that is meant to change results, and only where that test passes: python -m tests.test_segmenter_golden
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contrastive_concepts.segmenters import build
from contrastive_concepts.segmenters.texts import text_embeddings
from tests.helpers import vectors
from tests.synthetic_clip import SyntheticText, clip_model, draw, masker

STORED = Path(__file__).parent / "data" / "segmenters.npz"
DINOISER = {
    "obj_proj.weight": (256, 128, 3, 3), "obj_proj.bias": (256,),
    "bkg_decoder.weight": (1, 128, 1, 1), "bkg_decoder.bias": (1,),
}  # fmt: skip
TEXTS = ("background", "boat", "water", "sky")
METHODS = ("maskclip", "gem", "tcl", "clip_dinoiser", "sclip", "clearclip", "naclip")


PROMPTS = [(method, prompts) for method in METHODS for prompts in ("paper", "original")]


def texts_of(method: str, prompts: str) -> np.ndarray[Any, Any]:
    """A method's embeddings of three texts, one of several words."""
    tcl = {"quick_gelu": True, "text_heads": 1, "half": True} if method == "tcl" else {}
    return text_embeddings(["boat", "traffic light", "sky"], SyntheticText(layers=1, size=32, **tcl), method, prompts)  # type: ignore[arg-type]


@cache
def arrays(method: str) -> dict[str, np.ndarray[Any, Any]]:
    """Of a method, what the encoder gives and the scores of four texts, without and with its own background."""
    tcl = {"quick_gelu": True, "text_heads": 1, "half": True} if method == "tcl" else {}
    heads = {"tcl": masker, "clip_dinoiser": lambda: {name: draw(name, shape, 1) for name, shape in DINOISER.items()}}
    checkpoint = {"checkpoint": heads[method]()} if method in heads else {}
    segmenter = build(method, clip_model(**tcl), **checkpoint)
    photo = np.random.RandomState(0).randint(0, 256, (113, 150, 3)).astype(np.uint8)
    features = segmenter.encode_image(photo)
    texts = torch.from_numpy(vectors(TEXTS))
    found = {"features": features.dense, "scores": segmenter.scores(features, texts)}
    if segmenter.background_is is not None:
        scores = segmenter.scores(features, texts, background=True)
        found["own background"] = segmenter.finish(scores, background=True)
    if method == "naclip":
        found["refined"] = refined(photo, texts)
    return {name: thinned(array.detach().numpy()) for name, array in found.items()}


def refined(photo: np.ndarray[Any, Any], texts: torch.Tensor) -> torch.Tensor:
    """NACLIP's cosines at pixels after PAMR."""
    segmenter = build("naclip", clip_model(), refine=True)
    features = segmenter.encode_image(photo)
    scores = segmenter.scores(features, texts)[None]
    pixels = torch.nn.functional.interpolate(scores, features.size, mode="bilinear", align_corners=False)[0]
    return segmenter.refine_maps(pixels, features.extra["pixels"][0])


def thinned(maps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of large maps every fourth pixel."""
    return maps[..., ::4, ::4] if maps.shape[-1] > 16 else maps


@pytest.mark.parametrize("method", METHODS)
def test_arrays_are_what_they_were(method: str) -> None:
    with np.load(STORED) as stored:
        expected = {name: stored[name] for name in stored.files if name.startswith(f"{method}/")}
    found = arrays(method)
    assert {f"{method}/{name}" for name in found} == set(expected)
    for name, array in found.items():
        wanted = expected[f"{method}/{name}"]
        assert array.shape == wanted.shape
        tolerance = 1e-5 if name == "features" else 1e-4
        assert np.abs(array - wanted).max() <= tolerance * np.abs(wanted).max(), name


@pytest.mark.parametrize(("method", "prompts"), PROMPTS)
def test_text_embeddings_are_what_they_were(method: str, prompts: str) -> None:
    with np.load(STORED) as stored:
        expected = stored[f"texts/{method}/{prompts}"]
    assert np.abs(texts_of(method, prompts) - expected).max() <= 1e-5 * np.abs(expected).max()


if __name__ == "__main__":
    stored = {f"{method}/{name}": array for method in METHODS for name, array in arrays(method).items()}
    stored |= {f"texts/{method}/{prompts}": texts_of(method, prompts) for method, prompts in PROMPTS}
    np.savez_compressed(STORED, **stored)  # type: ignore[arg-type]
