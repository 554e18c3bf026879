"""Settings of the vocabulary stage: the concept list T."""

from typing import Annotated, Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings


class GivenVocabulary(Settings):
    """T from a file."""

    source: Literal["given"] = Field(description="The concepts are read from a file.")
    path: str = Field(
        description="Text (one concept per line), parquet, CSV or TSV (column `concept`) or JSON (a list, or the keys "
        "of an object), relative to data_dir."
    )


class MinedVocabulary(Settings):
    """T from a sample of the captions."""

    source: Literal["mined"] = Field(
        description="The concepts are the most frequent nouns and noun phrases of the captions."
    )
    size: int = Field(4_000, ge=1, description="Maximum number of concepts. The most frequent are kept.")
    min_count: int = Field(5, ge=1, description="Minimum number of captions of the sample that mention a concept.")
    sample: int = Field(
        50_000,
        ge=1,
        description="Number of captions to tag, spread evenly over the corpus. Tagging takes about 1 s for 2,000.",
    )
    phrases: bool = Field(True, description="Also mine phrases of two words that end in a noun, such as `hot dog`.")
    phrase_npmi: float = Field(
        0.4,
        ge=-1,
        le=1,
        description="Minimum normalised pointwise mutual information of the two words of a phrase.",
    )
    proper_nouns: bool = Field(
        False,
        description="Also mine names, such as London, with their capitals. The paper's concept index has them.",
    )


class IndexVocabulary(Settings):
    """T from the concept index or the release."""

    source: Literal["index"] = Field(description="The concepts of the concept index, or of the release.")


VocabularySettings = Annotated[GivenVocabulary | MinedVocabulary | IndexVocabulary, Field(discriminator="source")]
