"""Settings of the matching stage: how concepts are found in captions."""

from typing import Literal, Self

from pydantic import Field, model_validator

from contrastive_concepts.config.base import Settings


class MatchingSettings(Settings):
    """How a concept of several words is found in a caption."""

    mode: Literal["bag", "phrase"] = Field(
        "bag",
        description="bag: all words of the concept, in any order and at any distance (as in the paper's index); "
        "phrase: all words in order and next to each other.",
    )
    nouns: Literal["all", "filtered", "index"] = Field(
        "index",
        description="Which words count. index: words that are tagged as nouns; proper nouns keep their capital, so "
        "that Orange County is not an orange (as in the paper's index); filtered: nouns in any letter case; all: every "
        "form of a concept's words.",
    )
    tagger: Literal["table", "spacy"] = Field(
        "table",
        description="What finds nouns. table: a small model in the matching kernel, learned from spaCy's tags; spacy: "
        "spaCy's pipeline on every caption, as for the paper's index, about a thousand times slower.",
    )

    shards_per_job: int = Field(
        16,
        ge=1,
        description="Number of shards that one job counts, on the cores that it was given; always 1 with spacy.",
    )

    @model_validator(mode="after")
    def _spacy_is_the_index(self) -> Self:
        if self.tagger == "spacy" and (self.nouns == "all" or self.mode == "phrase"):
            raise ValueError(f"found spacy with mode {self.mode} and nouns {self.nouns}, expected bag, and not all")
        return self
