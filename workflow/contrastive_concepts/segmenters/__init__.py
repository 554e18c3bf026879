"""The four segmenters of the paper on open_clip backbones: `build(name, clip_model, **options)`."""

from typing import TYPE_CHECKING, Any

from contrastive_concepts.errors import UserError

if TYPE_CHECKING:
    from contrastive_concepts.segmenters.segmenter import Segmenter

NAMES = ("maskclip", "gem", "tcl", "clip_dinoiser")


PRECISIONS = ("float32", "bfloat16", "float16")


def build(name: str, clip_model: Any, precision: str = "float32", **options: Any) -> "Segmenter":
    """A segmenter on an open_clip 3.x ViT model, in eval mode. The options are those of its class.

    precision: dtype of the encoder's matrix products; bfloat16 and float16 need a GPU. tcl and clip_dinoiser need
    `checkpoint`, the official file. Raises UserError for an unknown name, option or precision."""
    import inspect

    import torch

    from contrastive_concepts.segmenters.clip_dinoiser import ClipDinoiser
    from contrastive_concepts.segmenters.gem import Gem
    from contrastive_concepts.segmenters.maskclip import MaskClip
    from contrastive_concepts.segmenters.tcl import Tcl

    kinds: dict[str, type[Segmenter]] = {kind.name: kind for kind in (MaskClip, Gem, Tcl, ClipDinoiser)}
    if name not in kinds:
        raise UserError(f"segmenter: found {name!r}, expected one of {', '.join(NAMES)}")
    if precision not in PRECISIONS:
        raise UserError(f"segmenter {name}: precision: found {precision!r}, expected one of {', '.join(PRECISIONS)}")
    known = list(inspect.signature(kinds[name]).parameters)[1:]
    for option in options:
        if option not in known:
            raise UserError(f"segmenter {name}: option {option!r} is unknown, expected one of {known}")
    if "checkpoint" in known and "checkpoint" not in options:
        raise UserError(f"segmenter {name}: checkpoint is missing, expected the official file of trained heads")
    segmenter = kinds[name](clip_model, **options)
    segmenter.precision = getattr(torch, precision)
    return segmenter
