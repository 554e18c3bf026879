"""Settings of the benchmark: segmenters, backbones, data sets, protocol (paper 4.1, 6.1)."""

from typing import Annotated, Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings, Slug

Method = Literal["maskclip", "gem", "tcl", "clip_dinoiser"]
OWN_BACKGROUND: frozenset[str] = frozenset({"gem", "tcl", "clip_dinoiser"})
"""Methods with background handling of their own (paper 6.1.1)."""


class Protocol(Settings):
    """How an image is resized and cut; the defaults are the paper's."""

    short_side: int = Field(448, ge=1, description="Pixels of the shorter side after resizing.")
    long_side: int = Field(
        2048, ge=1, description="Most pixels of the longer side after resizing; wins over short_side."
    )
    window: int = Field(448, ge=1, description="Side of a sliding window, in pixels.")
    stride: int = Field(224, ge=1, description="Step between windows, in pixels; at most the window.")
    batch: int = Field(8, ge=1, description="Windows that go through the encoder together.")


class BackboneSettings(Settings):
    """A CLIP model, image and text tower, through open_clip."""

    model: str = Field(
        "ViT-B-16",
        description="open_clip's name of the architecture, `-quickgelu` included where the weights need it, "
        "`local-dir:FOLDER`, `hf-hub:OWNER/NAME`, or `toyworld-clip`.",
    )
    pretrained: str | None = Field(
        "laion2b_s34b_b88k",
        description="open_clip's tag of the weights or a local file; null for a `local-dir:` or `hf-hub:` model and "
        "the toy CLIP.",
    )
    training_data: str = Field(description="What it was trained on, as the paper's tables say it: Laion2B, WIT400M.")


class SegmenterSettings(Settings):
    """A method on some of the backbones."""

    method: Method = Field(description="The method.")
    backbones: list[Slug] = Field(min_length=1, description="Names of the backbones it runs on.")
    checkpoint: str | None = Field(
        None, description="Official file of trained heads (tcl, clip_dinoiser), relative to data_dir."
    )
    prompts: Literal["paper", "original"] = Field(
        "paper", description="paper: the 80 ImageNet prompts for all methods (6.1); original: those of its authors."
    )
    options: dict[str, bool | int | float | str] = Field({}, description="Further options of the method's class.")


class FolderDataset(Settings):
    """A data set in its official folder layout."""

    kind: Literal[
        "voc", "voc21", "voc20", "context60", "context59", "coco_stuff", "coco_object", "cityscapes", "ade20k"
    ] = Field(description="Its layout; `voc` is VOC's with any class list.")
    root: str = Field(description="Its folder, relative to data_dir.")
    classes: str | None = Field(
        None, description="Class names, one a line in label order, relative to data_dir; null: the official ones."
    )
    split: str = Field("", description="Split to read; empty: the one that the paper evaluates on.")
    images: int | None = Field(None, ge=1, description="So many images drawn at random; null: all.")
    seed: int = Field(0, ge=0, description="Seed of the draw.")
    tables: bool = Field(True, description="It appears in the tables; false: it serves sweeps alone.")


class ToyDataset(Settings):
    """Held-out images of the toy world."""

    kind: Literal["toyworld"] = Field(description="Images of the embedded toy world, drawn by the run itself.")
    images: int = Field(500, ge=1, description="Number of images.")
    seed: int = Field(0, ge=0, description="Seed of the images; none of them was ever trained on.")
    tables: bool = Field(True, description="It appears in the tables; false: it serves sweeps alone.")


DatasetSettings = Annotated[FolderDataset | ToyDataset, Field(discriminator="kind")]


class SweepSettings(Settings):
    """One threshold varied, everything else as the set says (paper 6.2.1, Tables 4 and 5)."""

    threshold: Literal["gamma", "delta", "beta"] = Field(description="The threshold.")
    values: list[Annotated[float, Field(ge=0, le=1)]] = Field(min_length=1, description="Its values.")
    set: Slug = Field(description="The contrastive set; of kind dictionary for gamma and delta.")
    dataset: Slug = Field(description="The data set; the paper takes 100 images of a training split.")
    segmenters: list[Slug] | None = Field(None, description="Segmenters that take part; null: all.")
