"""Settings of the benchmark: segmenters, backbones, data sets, protocol (paper 4.1, 6.1)."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, model_validator

from contrastive_concepts.config.base import Settings, Slug
from contrastive_concepts.config.methods import METHODS, Mean, Method
from contrastive_concepts.config.similarity import Templates

if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal[*METHODS]
WHOLE = 2048
"""The longer side of every resized image at most, in pixels: a window of this size is the whole image."""


class Protocol(Settings):
    """How an image is resized and cut into windows. The defaults are the paper's."""

    short_side: int = Field(448, ge=1, description="Length of the shorter side after resizing, in pixels.")
    long_side: int = Field(
        2048,
        ge=1,
        description="Maximum of the longer side after resizing, in pixels; takes precedence over short_side.",
    )
    window: int = Field(448, ge=1, description="Side of a sliding window, in pixels.")
    stride: int = Field(224, ge=1, description="Step between windows, in pixels; at most the window.")
    batch: int = Field(8, ge=1, description="Number of windows in a batch of the encoder.")


class BackboneSettings(Settings):
    """A CLIP model, image and text tower, loaded with open_clip."""

    model: str = Field(
        "ViT-B-16",
        description="open_clip's name of the architecture (with `-quickgelu` if the weights need it), "
        "`local-dir:FOLDER`, `hf-hub:OWNER/NAME`, or `toyworld-clip`.",
    )
    pretrained: str | None = Field(
        "laion2b_s34b_b88k",
        description="open_clip's tag of the weights, or a local file; null for `local-dir:`, `hf-hub:` and the toy "
        "CLIP.",
    )
    training_data: str = Field(description="Training data, named as in the paper's tables: Laion2B, WIT400M.")


class ImageModelSettings(Settings):
    """A second frozen image model, loaded with timm."""

    model: str = Field(description="timm's name of a vision transformer, such as `vit_base_patch8_224.dino`.")
    pretrained: StrictBool | str = Field(
        True, description="true: timm's weights of that name; a local file of its weights; false: random weights."
    )


class SegmenterSettings(Settings):
    """A segmentation method and the backbones that it runs on."""

    method: MethodName = Field(description="The method.")
    backbones: list[Slug] = Field(min_length=1, description="Names of the backbones that it runs on.")
    enabled: bool = Field(True, description="false: it is not run.")
    checkpoint: str | None = Field(
        None, description="Official file of trained heads (for tcl and clip_dinoiser), relative to data_dir."
    )
    image_model: ImageModelSettings | None = Field(None, description="The second image model (for proxyclip).")
    prompts: Literal["paper", "original"] = Field(
        "paper",
        description="paper: the 80 ImageNet prompts for all methods (6.1); original: those of the method's authors.",
    )
    protocol: Literal["benchmark", "original"] = Field(
        "benchmark",
        description="benchmark: benchmark.protocol for all methods; original: sizes, windows and refinement of the "
        "method's authors for each kind of data set (for sclip, clearclip and naclip).",
    )
    options: dict[str, bool | int | float | str | None] = Field(
        {}, description="Options of the method, listed at the end of the reference."
    )

    @property
    def of_method(self) -> Method:
        return METHODS[self.method]

    @property
    def own_files(self) -> list[str]:
        """Its local files beside CLIP's: the trained heads, the weights of a second image model."""
        second = None if self.image_model is None else self.image_model.pretrained
        return [path for path in (self.checkpoint, second) if isinstance(path, str)]

    @property
    def templates(self) -> Templates:
        """The prompts of its texts."""
        return self.of_method.prompts if self.prompts == "original" else "imagenet"

    @property
    def mean(self) -> Mean:
        return self.of_method.mean

    def protocol_for(self, kind: str, protocol: Protocol) -> Protocol:
        """The protocol for a kind of data set. protocol: that of the benchmark."""
        own = self.of_method.own.get(kind)
        if self.protocol == "benchmark" or own is None:
            return protocol
        window = WHOLE if own.window is None else own.window
        return protocol.model_copy(
            update={"short_side": own.short_side, "long_side": WHOLE, "window": window, "stride": own.stride}
        )

    def options_for(self, kind: str) -> dict[str, Any]:
        """The options for a kind of data set: those that are null are the authors' for it."""
        options = {name: value for name, value in self.options.items() if value is not None}
        own = self.of_method.own.get(kind)
        if own is None:
            return options
        defaults = {"scale": own.scale, "threshold": own.threshold, "area": own.area}
        if self.protocol == "original":
            defaults["refine"] = own.refine
        return {
            **{name: value for name, value in defaults.items() if name in self.of_method.options.model_fields},
            **options,
        }


WITHOUT_BACKGROUND = ("voc20", "context59", "coco_stuff", "cityscapes", "ade20k")
"""Kinds of data sets whose class 0 is a class as any other."""


class FolderDataset(Settings):
    """A data set in its official folder layout."""

    kind: Literal[
        "voc", "voc21", "voc20", "context60", "context59", "coco_stuff", "coco_object", "cityscapes", "ade20k"
    ] = Field(description="Layout and classes; `voc` is VOC's layout with a class list of your own.")
    root: str = Field(description="Folder of the data set, relative to data_dir.")
    classes: str | None = Field(
        None,
        description="File of class names, one per line in label order, relative to data_dir; null: the official names.",
    )
    split: str = Field("", description="Split to read; empty: the split on which the paper evaluates.")
    images: int | None = Field(None, ge=1, description="Number of images to draw at random; null: all.")
    seed: int = Field(0, ge=0, description="Seed of the draw.")
    tables: bool = Field(True, description="Whether it appears in the tables; false: it is used in sweeps only.")


class ToyDataset(Settings):
    """Held-out images of the toy world."""

    kind: Literal["toyworld"] = Field(description="Images of the embedded toy world, generated in the run.")
    images: int = Field(500, ge=1, description="Number of images.")
    seed: int = Field(0, ge=0, description="Seed of the images. The toy CLIP was not trained on any of them.")
    tables: bool = Field(True, description="Whether it appears in the tables; false: it is used in sweeps only.")


DatasetSettings = Annotated[FolderDataset | ToyDataset, Field(discriminator="kind")]


class SweepSettings(Settings):
    """A study of one threshold. All else is as in the contrastive set (paper 6.2.1, Tables 4 and 5)."""

    threshold: Literal["gamma", "delta", "beta", "boost"] = Field(description="The threshold to vary.")
    values: list[Annotated[float, Field(ge=-2, le=2)]] = Field(
        min_length=1, description="Its values: from 0 to 1, for boost from -2 to 2."
    )
    set: Slug = Field(
        description="The contrastive set. For gamma it must be of kind dictionary, for delta of kind dictionary or "
        "vocabulary, for boost of kind boosted_background."
    )
    dataset: Slug = Field(description="The data set. The paper uses 100 images of a training split.")
    segmenters: list[Slug] | None = Field(None, description="Names of the segmenters; null: all.")


AbsentKind = Literal["random", "seen_together", "similar"]


class AbsentSettings(Settings):
    """Queries for classes that an image does not show, of each kind at most as many as it shows."""

    enabled: bool = Field(True, description="false: they are not asked.")
    kinds: list[AbsentKind] = Field(
        ["random", "seen_together", "similar"],
        min_length=1,
        description="random: drawn at random. seen_together: those that this run's captions mention most often "
        "together with the shown classes. similar: those whose text is nearest to that of a shown class in the "
        "segmenter's CLIP.",
    )
    seed: int = Field(
        0, ge=0, description="Seed of the draws. An image's draw depends on it and the image's name alone."
    )
    min_area: float = Field(
        0.01, ge=0, lt=1, description="A mask counts as non-empty if it is more than this share of the labelled pixels."
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for kind in self.kinds:
            if self.kinds.count(kind) > 1:
                raise ValueError(f"benchmark.absent.kinds: found {kind!r} twice, expected each kind once")
        return self
