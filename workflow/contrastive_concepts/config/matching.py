"""Settings of the matching stage: which concepts does a caption mention."""

from typing import Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings


class MatchingSettings(Settings):
    """How a concept of several words is found in a caption."""

    mode: Literal["bag", "phrase"] = Field(
        "bag",
        description="bag: all words of the concept, in any order and at any distance (as the paper's index); "
        "phrase: in order and next to each other.",
    )
    nouns: Literal["all", "filtered"] = Field(
        "all",
        description="all: every form of a concept's words counts; filtered: forms that are mostly no nouns "
        "(can, saw, up) do not, by a table learned from a tagger on lower-case captions.",
    )
