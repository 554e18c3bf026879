"""Settings of the similarity stage: the text encoder and its prompts."""

from typing import Annotated, Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings

TEMPLATES = (
    "imagenet: each concept is averaged over the 80 ImageNet prompts; photo: the one prompt `a photo of a ...`; "
    "tcl: TCL's nine prompts; none: the bare concept."
)
Templates = Literal["imagenet", "photo", "tcl", "none"]


class OpenClipEncoder(Settings):
    """A CLIP text tower through open_clip."""

    encoder: Literal["open_clip"] = Field(description="The text tower of a CLIP model, through open_clip.")
    model: str = Field(
        "ViT-B-16",
        description="open_clip's name of the architecture, `-quickgelu` included where the weights need it, "
        "`local-dir:FOLDER`, `hf-hub:OWNER/NAME`, or `toyworld-clip`.",
    )
    pretrained: str | None = Field(
        "laion2b_s34b_b88k",
        description="open_clip's tag of the weights (fetched from their hub), or a local file; null for a "
        "`local-dir:` or `hf-hub:` model and the toy CLIP.",
    )
    model_config_file: str | None = Field(
        None, description="JSON of an architecture that open_clip does not list; its file name is the model's name."
    )
    templates: Templates = Field(
        "imagenet",
        description=TEMPLATES,
    )
    batch_size: int = Field(256, ge=1, description="Prompts encoded at a time.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, ...; auto takes a GPU where there is one.")


class SentenceTransformersEncoder(Settings):
    """A sentence encoder."""

    encoder: Literal["sentence_transformers"] = Field(description="A sentence encoder through sentence-transformers.")
    model: str = Field(
        description="A folder, a hub name, or `package:NAME` for a model folder inside an installed package."
    )
    templates: Templates = Field("none", description=TEMPLATES)
    batch_size: int = Field(256, ge=1, description="Prompts encoded at a time.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, ...; auto takes a GPU where there is one.")


SimilaritySettings = Annotated[OpenClipEncoder | SentenceTransformersEncoder, Field(discriminator="encoder")]
