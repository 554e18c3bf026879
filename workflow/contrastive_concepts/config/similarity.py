"""Settings of the similarity stage: the text encoder and its prompts."""

from typing import Annotated, Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings

TEMPLATES = (
    "imagenet: each concept is averaged over the 80 ImageNet prompts; photo: the one prompt `a photo of a ...`; "
    "tcl: TCL's nine prompts; none: the bare concept."
)
Templates = Literal["imagenet", "photo", "tcl", "none"]


BATCH = "Number of prompts in a batch."
DEVICE = "auto, cpu, cuda, cuda:1, ...; auto: a GPU if there is one."


class OpenClipModel(Settings):
    """A CLIP text tower, loaded with open_clip."""

    encoder: Literal["open_clip"] = Field(description="The text tower of a CLIP model, loaded with open_clip.")
    model: str = Field(
        "ViT-B-16",
        description="open_clip's name of the architecture (with `-quickgelu` if the weights need it), "
        "`local-dir:FOLDER`, `hf-hub:OWNER/NAME`, or `toyworld-clip`.",
    )
    pretrained: str | None = Field(
        "laion2b_s34b_b88k",
        description="open_clip's tag of the weights (downloaded from their hub), or a local file; null for "
        "`local-dir:`, `hf-hub:` and the toy CLIP.",
    )
    model_config_file: str | None = Field(
        None,
        description="JSON file of an architecture that open_clip does not have. Its file name is the model's name.",
    )
    batch_size: int = Field(256, ge=1, description=BATCH)
    device: str = Field("auto", description=DEVICE)


class SentenceModel(Settings):
    """A sentence encoder, loaded with sentence-transformers."""

    encoder: Literal["sentence_transformers"] = Field(
        description="A sentence encoder, loaded with sentence-transformers."
    )
    model: str = Field(
        description="A folder, a name on the Hugging Face hub, or `package:NAME`: a model inside an installed package."
    )
    batch_size: int = Field(256, ge=1, description=BATCH)
    device: str = Field("auto", description=DEVICE)


class OpenClipEncoder(OpenClipModel):
    """A CLIP text tower and its prompts."""

    templates: Templates = Field("imagenet", description=TEMPLATES)


class SentenceTransformersEncoder(SentenceModel):
    """A sentence encoder and its prompts."""

    templates: Templates = Field("none", description=TEMPLATES)


TextModel = Annotated[OpenClipModel | SentenceModel, Field(discriminator="encoder")]
SimilaritySettings = Annotated[OpenClipEncoder | SentenceTransformersEncoder, Field(discriminator="encoder")]
