"""Settings of the vocabulary stage: the concept list T."""

from typing import Annotated, Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings


class GivenVocabulary(Settings):
    """T is read from a file."""

    source: Literal["given"] = Field(description="The concepts are listed in a file.")
    path: str = Field(
        description="Text (one concept a line), parquet, CSV or TSV (column `concept`) or JSON (list, or the keys of "
        "an object); relative to data_dir."
    )


class MinedVocabulary(Settings):
    """T is mined from a sample of the captions."""

    source: Literal["mined"] = Field(description="The concepts are the captions' most frequent nouns and noun phrases.")
    size: int = Field(4_000, ge=1, description="At most so many concepts, the most frequent first.")
    min_count: int = Field(5, ge=1, description="A concept occurs in at least so many captions of the sample.")
    sample: int = Field(
        50_000,
        ge=1,
        description="Captions that are tagged, spread evenly over the corpus; tagging runs at about 2,000 a second.",
    )
    phrases: bool = Field(True, description="Also mine phrases of two words that end in a noun, such as `hot dog`.")
    phrase_npmi: float = Field(
        0.4,
        ge=-1,
        le=1,
        description="A phrase's words belong together: their normalised pointwise mutual information is at least this.",
    )


class IndexVocabulary(Settings):
    """T is what the concept index or the release lists."""

    source: Literal["index"] = Field(description="The concepts of the concept index, or of the release.")


VocabularySettings = Annotated[GivenVocabulary | MinedVocabulary | IndexVocabulary, Field(discriminator="source")]
