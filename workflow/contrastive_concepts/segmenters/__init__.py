"""Segmenters on open_clip backbones: `build(name, clip_model, **options)`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from contrastive_concepts.config.methods import METHODS
from contrastive_concepts.errors import UserError

if TYPE_CHECKING:
    from contrastive_concepts.segmenters.segmenter import Segmenter

NAMES = tuple(METHODS)
PLACES = "contrastive_concepts.segmenters.*"
OBJECTS = ("checkpoint", "image_model")
"""Arguments that are no options: trained heads, and a second frozen image model."""


def build(name: str, clip_model: Any, precision: str = "float32", **options: Any) -> "Segmenter":
    """A segmenter on an open_clip 3.x ViT model, in eval mode.

    name: one of NAMES. precision: dtype of the encoder's matrix products; bfloat16 and float16 are for GPUs. options:
    those of the method in `config.methods`. Methods with trained heads need `checkpoint`, the official file; methods
    with a second image model need `image_model`, an `image_model.ImageModel`. Raises UserError for an unknown name,
    option or precision, or a model that the method cannot read."""
    import torch

    if name not in METHODS:
        raise UserError(f"segmenter: found {name!r}, expected one of {', '.join(METHODS)}")
    method = METHODS[name]
    objects = {key: options.pop(key) for key in OBJECTS if key in options}
    checked = method.checked(f"segmenter {name}", {"precision": precision, **options})
    for key, needed in zip(OBJECTS, (method.heads, method.image_model), strict=True):
        if needed and clip_model is None and method.scores_alone:
            objects.setdefault(key, None)
        if needed and key not in objects:
            expected = "the official file of trained heads" if key == "checkpoint" else "a second image model"
            raise UserError(f"segmenter {name}: {key} is missing, expected {expected}")
        if key in objects and not needed:
            raise UserError(f"segmenter {name}: option {key!r} is unknown, expected one of {', '.join(checked)}")
    del checked["precision"]
    given = {key: method.fixed.get(key) if value is None else value for key, value in checked.items()}
    module, _, kind = method.place.rpartition(".")
    made = getattr(import_module(PLACES.replace("*", module)), kind)
    segmenter: Segmenter = made(clip_model, **{**method.fixed, **given, **objects})
    segmenter.name, segmenter.method, segmenter.precision = name, method, getattr(torch, precision)
    return segmenter
