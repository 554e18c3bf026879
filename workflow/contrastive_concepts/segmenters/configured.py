"""Builds a segmenter from the configuration, with its CLIP model and tokenizer."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from contrastive_concepts.config.evaluation import BackboneSettings, Mean, SegmenterSettings
from contrastive_concepts.config.similarity import OpenClipEncoder, Templates
from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.encoders.clip import load_clip
from contrastive_concepts.encoders.text import OpenClipText, TextEncoder
from contrastive_concepts.segmenters import build
from contrastive_concepts.segmenters.segmenter import Segmenter
from contrastive_concepts.similarity.ensemble import embed


def configured_segmenter(
    settings: SegmenterSettings, backbone: BackboneSettings, data_dir: str | Path, device: str = "cpu"
) -> tuple[Segmenter, Any, Any]:
    """The segmenter, its CLIP model and the tokenizer. Raises UserError if one of them cannot be loaded."""
    clip_model, tokenizer = load_clip("benchmark.backbones", backbone.model, backbone.pretrained, device)
    return build(settings.method, clip_model, **_options(settings, data_dir)), clip_model, tokenizer


def scoring_segmenter(
    settings: SegmenterSettings, backbone: BackboneSettings, data_dir: str | Path, device: str = "cpu"
) -> Segmenter:
    """A segmenter that only scores encoded features. For MaskCLIP, this avoids loading the CLIP model (seconds)."""
    if settings.method == "maskclip":
        return build("maskclip", None, **_options(settings, data_dir))
    return configured_segmenter(settings, backbone, data_dir, device)[0]


def text_side(
    templates: Templates, mean: Mean, backbone: BackboneSettings, device: str = "cpu"
) -> tuple[Callable[[Sequence[str]], Embeddings], TextEncoder]:
    """A function texts -> unit vectors, and the encoder behind it. templates, mean: see `SegmenterSettings`."""
    encoder = OpenClipText(
        OpenClipEncoder(encoder="open_clip", model=backbone.model, pretrained=backbone.pretrained, device=device)
    )
    return lambda texts: embed(texts, encoder, templates, mean=mean), encoder


def _options(settings: SegmenterSettings, data_dir: str | Path) -> dict[str, Any]:
    checkpoint = {} if settings.checkpoint is None else {"checkpoint": Path(data_dir) / settings.checkpoint}
    return {**settings.options, **checkpoint}
