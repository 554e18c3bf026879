"""A segmenter as the configuration names it, with its CLIP model and tokenizer."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from contrastive_concepts.config.evaluation import BackboneSettings, SegmenterSettings
from contrastive_concepts.config.similarity import OpenClipEncoder
from contrastive_concepts.segmenters import build
from contrastive_concepts.segmenters.segmenter import Segmenter
from contrastive_concepts.segmenters.texts import text_embeddings
from contrastive_concepts.similarity.clip import load_clip
from contrastive_concepts.similarity.encoders import OpenClipText
from contrastive_concepts.similarity.store import Embeddings


def configured_segmenter(
    settings: SegmenterSettings, backbone: BackboneSettings, data_dir: str | Path, device: str = "cpu"
) -> tuple[Segmenter, Any, Any]:
    """The segmenter, its CLIP model and the tokenizer. Raises UserError for what cannot be loaded."""
    clip_model, tokenizer = load_clip("benchmark.backbones", backbone.model, backbone.pretrained, device)
    return build(settings.method, clip_model, **_options(settings, data_dir)), clip_model, tokenizer


def scoring_segmenter(
    settings: SegmenterSettings, backbone: BackboneSettings, data_dir: str | Path, device: str = "cpu"
) -> Segmenter:
    """One that scores features encoded before; MaskCLIP then needs no CLIP model, which takes seconds to load."""
    if settings.method == "maskclip":
        return build("maskclip", None, **_options(settings, data_dir))
    return configured_segmenter(settings, backbone, data_dir, device)[0]


def text_side(
    settings: SegmenterSettings, backbone: BackboneSettings, device: str = "cpu"
) -> tuple[Callable[[Sequence[str]], Embeddings], str]:
    """Texts -> unit vectors with the method's prompts, and a name of what makes them (weights and method)."""
    encoder = OpenClipText(
        OpenClipEncoder(encoder="open_clip", model=backbone.model, pretrained=backbone.pretrained, device=device)
    )
    maker = f"{settings.method} {settings.prompts} {encoder.weights_sha256}"
    return lambda texts: text_embeddings(texts, encoder, settings.method, settings.prompts), maker


def _options(settings: SegmenterSettings, data_dir: str | Path) -> dict[str, Any]:
    checkpoint = {} if settings.checkpoint is None else {"checkpoint": Path(data_dir) / settings.checkpoint}
    return {**settings.options, **checkpoint}
