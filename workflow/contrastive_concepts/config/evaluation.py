"""Settings of the benchmark: segmenters, backbones, data sets, protocol (paper 4.1, 6.1)."""

from typing import Annotated, Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings, Slug
from contrastive_concepts.config.similarity import Templates

Method = Literal["maskclip", "gem", "tcl", "clip_dinoiser"]
OWN_BACKGROUND: frozenset[str] = frozenset({"gem", "tcl", "clip_dinoiser"})
"""Methods with their own background handling (paper 6.1.1)."""
Mean = Literal["unit", "raw"]
"""Whether the vectors of a text's prompts are normalised before they are averaged (unit) or not (raw)."""
OWN_PROMPTS: dict[str, Templates] = {"maskclip": "imagenet", "clip_dinoiser": "imagenet", "gem": "photo", "tcl": "tcl"}
MEANS: dict[str, Mean] = {"maskclip": "unit", "clip_dinoiser": "unit", "gem": "unit", "tcl": "raw"}


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


class SegmenterSettings(Settings):
    """A segmentation method and the backbones that it runs on."""

    method: Method = Field(description="The method.")
    backbones: list[Slug] = Field(min_length=1, description="Names of the backbones that it runs on.")
    checkpoint: str | None = Field(
        None, description="Official file of trained heads (for tcl and clip_dinoiser), relative to data_dir."
    )
    prompts: Literal["paper", "original"] = Field(
        "paper",
        description="paper: the 80 ImageNet prompts for all methods (6.1); original: those of the method's authors.",
    )
    options: dict[str, bool | int | float | str] = Field({}, description="Further options for the method's class.")

    @property
    def templates(self) -> Templates:
        """The prompts of its texts."""
        return OWN_PROMPTS[self.method] if self.prompts == "original" else "imagenet"

    @property
    def mean(self) -> Mean:
        return MEANS[self.method]


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

    threshold: Literal["gamma", "delta", "beta"] = Field(description="The threshold to vary.")
    values: list[Annotated[float, Field(ge=0, le=1)]] = Field(min_length=1, description="Its values.")
    set: Slug = Field(description="The contrastive set. For gamma and delta it must be of kind dictionary.")
    dataset: Slug = Field(description="The data set. The paper uses 100 images of a training split.")
    segmenters: list[Slug] | None = Field(None, description="Names of the segmenters; null: all.")
