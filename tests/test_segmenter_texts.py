"""Each method's text ensemble: against the originals' arrays, and against the formulas written out."""

import json
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from contrastive_concepts.encoders.text_tower import encode_tokens
from contrastive_concepts.errors import UserError
from contrastive_concepts.segmenters.texts import text_embeddings
from contrastive_concepts.similarity.ensemble import TCL_PROMPTS, embed
from tests.helpers import PARITY, needs_parity
from tests.synthetic_clip import SyntheticText, clip_model


@needs_parity
@pytest.mark.parametrize(
    ("method", "path", "array", "prompts"),
    [
        ("maskclip", "maskclip/B224.npz", "class_embeddings", "paper"),
        ("clip_dinoiser", "maskclip/B224.npz", "class_embeddings", "original"),
        ("gem", "gem/A448_q0_d7_i1_tNone.npz", "text", "original"),
        ("tcl", "tcl/B224.npz", "text_custom", "original"),
        ("tcl", "tcl/B224.npz", "text_full", "paper"),
    ],
)
def test_the_originals_text_embeddings(method: str, path: str, array: str, prompts: Any) -> None:
    # CLIP-DINOiser's own file holds drawn vectors in place of texts; its texts are MaskCLIP's.
    classes = json.loads((PARITY / path).with_name("meta.json").read_text())["classes"]
    tcl = {"quick_gelu": True, "text_heads": 1, "half": True} if method == "tcl" else {}
    found = text_embeddings(classes, SyntheticText(**tcl), method, prompts)
    with np.load(PARITY / path) as stored:
        expected = stored[array].reshape(found.shape)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_means_written_out() -> None:
    encoder = SyntheticText(layers=1, size=32)
    vectors = np.stack([encoder.encode([prompt.format("boat")])[0] for prompt in TCL_PROMPTS])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    raw, unit = vectors.mean(0), (vectors / lengths).mean(0)
    tcl = text_embeddings(["boat"], encoder, "tcl", "original")[0]
    assert np.allclose(tcl, raw / np.linalg.norm(raw), atol=1e-6)
    assert np.allclose(embed(["boat"], encoder, "tcl")[0], unit / np.linalg.norm(unit), atol=1e-6)
    assert np.abs(raw / np.linalg.norm(raw) - unit / np.linalg.norm(unit)).max() > 1e-6
    gem = text_embeddings(["boat"], encoder, "gem", "original")[0]
    single = encoder.encode(["a photo of a boat."])[0]
    assert np.allclose(gem, single / np.linalg.norm(single), atol=1e-6)


def test_each_distinct_prompt_is_encoded_once() -> None:
    encoder = SyntheticText(layers=1, size=32)
    vectors = text_embeddings(["boat", "sea", "boat", "boats"], encoder, "tcl", "original")
    assert len(encoder.prompts) == len(set(encoder.prompts))
    assert set(encoder.prompts) == {prompt.format(text) for prompt in TCL_PROMPTS for text in ("boat", "sea", "boats")}
    assert (vectors[0] == vectors[2]).all()
    assert not np.allclose(vectors[0], vectors[1], atol=1e-3)
    with pytest.raises(UserError, match="found method 'clip'"):
        text_embeddings(["boat"], encoder, "clip")


def test_padding_is_work_for_nothing() -> None:
    model, tokenizer = clip_model(layers=1, size=32), open_clip.get_tokenizer("ViT-B-16")
    prompts = ["", "a boat", "a photo of many chests of drawers in a video game, and one more"]
    lengths: list[int] = []
    handle = model.ln_final.register_forward_hook(lambda _, inputs, __: lengths.append(inputs[0].shape[1]))
    with torch.inference_mode():
        whole, cut = model.encode_text(tokenizer(prompts)), encode_tokens(model, tokenizer(prompts))
        full = encode_tokens(model, tokenizer(["boat " * 100]))
        assert torch.allclose(full, model.encode_text(tokenizer(["boat " * 100])), atol=1e-5)
    handle.remove()
    assert torch.allclose(whole, cut, atol=1e-6)
    assert lengths[0] == 77
    assert lengths[1] < 20
    assert lengths[2] == 77
    model.text_pool_type = "last"
    with torch.inference_mode():
        assert torch.equal(encode_tokens(model, tokenizer(prompts)), model.encode_text(tokenizer(prompts)))
