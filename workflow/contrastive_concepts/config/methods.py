"""The segmentation methods. An entry has all that the configuration, the checks, the tables and `build` need."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from contrastive_concepts.config.base import Settings
from contrastive_concepts.config.similarity import Templates
from contrastive_concepts.errors import UserError

Mean = Literal["unit", "raw"]
"""Whether the vectors of a text's prompts are normalised before they are averaged (unit) or not (raw)."""


class Options(Settings):
    """Options of every method."""

    model_config = ConfigDict(allow_inf_nan=False)

    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="Number type of the encoder's matrix products; bfloat16 and float16 are for GPUs. Features are "
        "float32 in any case.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and bool not in (kind, *get_args(kind)):
            raise ValueError("a number or a word")
        return value


class MaskClipOptions(Options):
    """Options of MaskCLIP."""

    pooling_head: bool = Field(
        False,
        description="Read towers without a class token (SigLIP, SigLIP 2) through the values of their pooling head.",
    )


class GemOptions(Options):
    """Options of GEM."""

    depth: int | None = Field(
        None, ge=2, description="The last depth - 1 blocks are changed; null: 7, or the number of blocks if lower."
    )
    iterations: int = Field(1, ge=0, description="Number of self-attention steps before the values are averaged.")
    temperature: float | None = Field(
        None, gt=0, description="Factor of the self-attention's cosines; null: from the norm of each image's tokens."
    )
    threshold: float = Field(
        0.85, ge=0, le=1, description="Own background: a pixel whose highest softmax probability is below it."
    )
    minmax: bool = Field(False, description="Scale the map of each text in each window to [0, 1].")


class TclOptions(Options):
    """Options of TCL."""

    threshold: float = Field(0.5, ge=0, le=1, description="Own background: the value of its constant mask.")
    refine: bool = Field(False, description="Refine masks with PAMR.")
    knowledge: float = Field(0.3, ge=0, le=1, description="Weight of the frozen CLIP's masks (kp_w in the original).")


class ClipDinoiserOptions(Options):
    """Options of CLIP-DINOiser."""

    gamma: float = Field(0.2, description="Correlations below it are set to 0.")
    delta: float = Field(
        0.99,
        ge=0,
        le=1,
        description="Own background: a patch that is not salient, unless its best text has at least this probability.",
    )


class LastBlockOptions(Options):
    """Options of the methods that change the attention of the last block."""

    scale: float | None = Field(
        None, gt=0, description="Factor of the cosines in the softmax; null: the authors' for the data set's kind."
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Own background: a pixel whose highest probability is below it; null: the authors' for the data "
        "set's kind, which is 0 if the data set has no background class.",
    )


class SclipOptions(LastBlockOptions):
    """Options of SCLIP."""

    area: float | None = Field(
        None,
        ge=0,
        le=1,
        description="With own background, classes with at most this share of the foreground are removed from an "
        "image; null: the authors' for the data set's kind (0.1 for VOC21, else 0).",
    )


class NaClipOptions(LastBlockOptions):
    """Options of NACLIP."""

    std: float = Field(5.0, gt=0, description="Standard deviation of the Gaussian, in patches.")
    attention: Literal["naclip", "kk", "nonly", "csa", "vanilla"] = Field(
        "naclip", description="Attention of the last block; all but naclip are the authors' ablations."
    )
    architecture: Literal["reduced", "vanilla"] = Field(
        "reduced", description="vanilla: keep the last block's residual connection and MLP."
    )
    refine: bool | None = Field(
        None, description="Refine cosines with PAMR; null: only under the authors' own protocol, as they do."
    )


class ProxyClipOptions(Options):
    """Options of ProxyCLIP."""

    shift: float = Field(1.2, description="Cosines between patches below this multiple of their mean are masked.")
    sharpness: float = Field(3.0, gt=0, description="Factor of the shifted cosines in the softmax.")


@dataclass(frozen=True)
class OwnProtocol:
    """How a method's authors evaluate it on a kind of data set.

    window: None is the whole image. scale: factor of the cosines. threshold: probability below which a pixel is
    background. area: share of the foreground that a class needs. refine: whether masks are refined with PAMR."""

    short_side: int
    window: int | None
    stride: int
    scale: float
    threshold: float = 0
    area: float = 0
    refine: bool = False


@dataclass(frozen=True)
class Method:
    """title: name in tables, the paper's if the paper has it. place: module and class below `segmenters`.

    background: own background handling (paper 6.1.1). "text": text 0 must be "background"; "channel": index 0 is added
    before the texts; None: there is none. needs_second_text: its own background handling means nothing for a query
    alone. prompts, mean: those of its authors. heads: it needs a checkpoint of trained heads. image_model: it needs a
    second frozen image model. scores_alone: encoded features are scored without the CLIP model. fixed: arguments of its
    class that are no options. own: its authors' protocol for each kind of data set."""

    title: str
    place: str = ""
    options: type[Options] = Options
    background: Literal["text", "channel"] | None = None
    needs_second_text: bool = False
    prompts: Templates = "imagenet"
    mean: Mean = "unit"
    heads: bool = False
    image_model: bool = False
    scores_alone: bool = False
    fixed: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, OwnProtocol] = field(default_factory=dict)

    def checked(self, key: str, given: Mapping[str, object]) -> dict[str, Any]:
        """All options, those not given with their defaults. Raises UserError with one line for each wrong one."""
        try:
            return self.options.model_validate(given).model_dump()
        except ValidationError as error:
            found = [self._wrong(details) for details in error.errors(include_url=False)]
        raise UserError("\n".join(f"{key}: {line}" for line in dict.fromkeys(found)))

    def _wrong(self, details: ErrorDetails) -> str:
        option = details["loc"][0]
        if details["type"] == "extra_forbidden":
            return f"option {option!r} is unknown, expected one of {', '.join(self.options.model_fields)}"
        expected = details["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
        if details["type"] == "literal_error":
            expected = f"one of {details['ctx']['expected']}".replace("'", "").replace(" or ", ", ")
        return f"{option}: found {details['input']!r}, expected {expected}"


def _sclip(scale: float = 40, short_side: int = 336, threshold: float = 0, area: float = 0) -> OwnProtocol:
    return OwnProtocol(short_side, 224, 112, scale, threshold, area)


def _clearclip(threshold: float = 0, window: int = 448) -> OwnProtocol:
    return OwnProtocol(448, window, 224, 50, threshold)


def _naclip(threshold: float = 0, window: int | None = 224, short_side: int = 336) -> OwnProtocol:
    return OwnProtocol(short_side, window, 112, 40, threshold, refine=True)


METHODS: dict[str, Method] = {
    # Those of the paper, in the order of its tables.
    "maskclip": Method("MaskCLIP", "maskclip.MaskClip", MaskClipOptions, scores_alone=True),
    "clip_dinoiser": Method(
        "CLIP-DINOiser", "clip_dinoiser.ClipDinoiser", ClipDinoiserOptions, background="text", heads=True
    ),
    "tcl": Method("TCL", "tcl.Tcl", TclOptions, background="channel", prompts="tcl", mean="raw", heads=True),
    "gem": Method("GEM", "gem.Gem", GemOptions, background="channel", needs_second_text=True, prompts="photo"),
    # Those that came after it.
    "sclip": Method(
        "SCLIP",
        "last_block.LastBlock",
        SclipOptions,
        background="channel",
        needs_second_text=True,
        scores_alone=True,
        fixed={"attention": "csa", "architecture": "vanilla", "scale": 40.0},
        own={
            "voc21": _sclip(65, threshold=0.1, area=0.1),
            "context60": _sclip(50, threshold=0.1),
            "coco_object": _sclip(50, threshold=0.1),
            "coco_stuff": _sclip(short_side=448),
            "cityscapes": _sclip(short_side=560),
            **dict.fromkeys(("voc20", "context59", "ade20k"), _sclip()),
        },
    ),
    "clearclip": Method(
        "ClearCLIP",
        "last_block.LastBlock",
        LastBlockOptions,
        background="channel",
        needs_second_text=True,
        fixed={"attention": "qq", "architecture": "reduced", "scale": 50.0, "zero_pad": True},
        own={
            "voc21": _clearclip(0.5),
            "context60": _clearclip(0.15),
            "coco_object": _clearclip(0.4),
            "cityscapes": _clearclip(window=224),
            **dict.fromkeys(("voc20", "context59", "ade20k", "coco_stuff"), _clearclip()),
        },
    ),
    "naclip": Method(
        "NACLIP",
        "last_block.LastBlock",
        NaClipOptions,
        background="channel",
        needs_second_text=True,
        scores_alone=True,
        fixed={"scale": 40.0},
        own={
            "voc21": _naclip(0.1, window=None),
            "voc20": _naclip(window=None),
            "context60": _naclip(0.1),
            "coco_object": _naclip(0.1),
            "cityscapes": _naclip(short_side=560),
            **dict.fromkeys(("context59", "ade20k", "coco_stuff"), _naclip()),
        },
    ),
    "proxyclip": Method("ProxyCLIP", "proxyclip.ProxyClip", ProxyClipOptions, image_model=True, scores_alone=True),
}
