"""Settings of the matching stage: which concepts does a caption mention."""

from typing import Literal, Self

from pydantic import Field, model_validator

from contrastive_concepts.config.base import Settings


class MatchingSettings(Settings):
    """How a concept of several words is found in a caption."""

    mode: Literal["bag", "phrase"] = Field(
        "bag",
        description="bag: all words of the concept, in any order and at any distance (as the paper's index); "
        "phrase: in order and next to each other.",
    )
    nouns: Literal["all", "filtered", "index"] = Field(
        "index",
        description="index: a word counts where it is tagged as a noun, and a proper noun keeps its capital, so that "
        "Orange County is no orange (as the paper's index); filtered: nouns in any letter case; all: every form of a "
        "concept's words counts.",
    )
    tagger: Literal["table", "spacy"] = Field(
        "table",
        description="What tells nouns apart. table: a small model that the matching runs, learned from spaCy's tags; "
        "spacy: spaCy's pipeline over every caption, as the paper's index was made, about a thousand times slower.",
    )

    @model_validator(mode="after")
    def _spacy_is_the_index(self) -> Self:
        if self.tagger == "spacy" and (self.nouns == "all" or self.mode == "phrase"):
            raise ValueError(f"found spacy with mode {self.mode} and nouns {self.nouns}, expected bag, and not all")
        return self
