"""Builds a segmenter from the configuration, with its CLIP model and tokenizer."""

from pathlib import Path
from typing import Any

from contrastive_concepts.config.evaluation import BackboneSettings, SegmenterSettings
from contrastive_concepts.encoders.clip import load_clip
from contrastive_concepts.segmenters import build
from contrastive_concepts.segmenters.segmenter import Segmenter


def configured_segmenter(
    settings: SegmenterSettings, backbone: BackboneSettings, data_dir: str | Path, device: str = "cpu", kind: str = ""
) -> tuple[Segmenter, Any, Any]:
    """The segmenter, its CLIP model and the tokenizer. kind: of the data set, on which defaults of options can depend.

    Raises UserError if one of the models cannot be loaded."""
    clip_model, tokenizer = load_clip("benchmark.backbones", backbone.model, backbone.pretrained, device)
    objects: dict[str, Any] = {}
    if settings.checkpoint is not None:
        objects["checkpoint"] = Path(data_dir) / settings.checkpoint
    if settings.image_model is not None:
        from contrastive_concepts.segmenters.image_model import load_image_model

        objects["image_model"] = load_image_model(settings.image_model, data_dir, device)
    return build(settings.method, clip_model, **settings.options_for(kind), **objects), clip_model, tokenizer


def scoring_segmenter(
    settings: SegmenterSettings, backbone: BackboneSettings, data_dir: str | Path, device: str = "cpu", kind: str = ""
) -> Segmenter:
    """A segmenter that only scores encoded features. For most methods, this avoids loading the CLIP model (seconds)."""
    if settings.of_method.scores_alone:
        return build(settings.method, None, **settings.options_for(kind))
    return configured_segmenter(settings, backbone, data_dir, device, kind)[0]
