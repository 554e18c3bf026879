"""Settings of the similarity stage: the text encoder and its prompts."""

import importlib.util
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings

TEMPLATES = (
    "imagenet: each concept is averaged over the 80 ImageNet prompts; photo: the one prompt `a photo of a ...`; "
    "tcl: TCL's nine prompts; none: the bare concept."
)
Templates = Literal["imagenet", "photo", "tcl", "none"]
Precision = Literal["float32", "float16", "int8"]
Cleaning = Literal["strip", "whitespace", "lower", "canonicalize"]
"""What an encoder does to a text before its tokenizer: sentence-transformers strips it, open_clip does the others."""
ENCODER_FILES = ("encoder.onnx", "tokenizer.json")
"""A carried text encoder. Not every dictionary has one."""
FURTHER = "further.parquet"
"""The nearest concepts of further words. Not every dictionary has them."""
CARRIED_BYTES = 150_000_000
"""A larger text encoder is carried only if it is asked for."""
TOY = "toyworld-clip"

PACKAGE = "package:"
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

    @property
    def is_light(self) -> bool:
        """Whether the encoder is small and on this disk."""
        return self.model == TOY and self.pretrained is None


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

    @property
    def is_light(self) -> bool:
        """Whether the encoder is small and on this disk."""
        return 0 < _weight_bytes(self.model) <= CARRIED_BYTES


class Carrying(Settings):
    """What of the encoder a dictionary carries."""

    carry_encoder: bool | None = Field(
        None,
        description="Whether the dictionary carries the text encoder, as ONNX with its tokenizer: unknown words "
        "are then looked up without torch. null: yes for the toy CLIP, and for a sentence encoder of up to 150 MB in "
        "a folder or package.",
    )
    carry_precision: Precision = Field(
        "float32",
        description="Precision of the carried encoder. float16 and int8 are a half and a quarter as large; their "
        "agreement with the encoder is stated in the manifest.",
    )
    further_words: int = Field(
        0,
        ge=0,
        description="Number of further words whose nearest concept the dictionary keeps, so that they need no encoder: "
        "the most frequent nouns and noun phrases of the captions that are no concepts. With any of them, the plurals "
        "of these and of the concepts are kept too.",
    )
    vector_precision: Literal["float32", "float16"] = Field(
        "float32", description="Precision of the vectors in the dictionary's index."
    )


class OpenClipEncoder(Carrying, OpenClipModel):
    """A CLIP text tower and its prompts."""

    templates: Templates = Field("imagenet", description=TEMPLATES)

    @property
    def carries(self) -> bool:
        """Whether a dictionary carries this encoder."""
        return self.is_light if self.carry_encoder is None else self.carry_encoder


class SentenceTransformersEncoder(Carrying, SentenceModel):
    """A sentence encoder and its prompts."""

    templates: Templates = Field("none", description=TEMPLATES)

    @property
    def carries(self) -> bool:
        """Whether a dictionary carries this encoder."""
        return self.is_light if self.carry_encoder is None else self.carry_encoder


def sentence_model_folder(model: str) -> Path | None:
    """The folder that a sentence encoder's name stands for; None for a package that is not installed."""
    if not model.startswith(PACKAGE):
        return Path(model)
    spec = importlib.util.find_spec(model.removeprefix(PACKAGE))
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def _weight_bytes(model: str) -> int:
    """Size of a sentence encoder's weights; 0 if it is not on this disk."""
    folder = sentence_model_folder(model)
    if folder is None or not folder.is_dir():
        return 0
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


TextModel = Annotated[OpenClipModel | SentenceModel, Field(discriminator="encoder")]
SimilaritySettings = Annotated[OpenClipEncoder | SentenceTransformersEncoder, Field(discriminator="encoder")]
