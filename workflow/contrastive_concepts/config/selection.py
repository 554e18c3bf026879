"""Settings of the selection of contrastive concepts: gamma, the stop-list, delta, beta (paper 3.4, 3.6)."""

from typing import Annotated

from pydantic import Field

from contrastive_concepts.config.base import Settings

Fraction = Annotated[float, Field(ge=0, le=1)]


class SelectionSettings(Settings):
    """The thresholds; all comparisons as in the paper and in the authors' code."""

    gamma: Fraction | dict[str, Fraction] = Field(
        0.01,
        description="j is a candidate for i when X[i, j] / X[i, i] > gamma (strict); a number, "
        "or a number for each corpus by name.",
    )
    stoplist: list[str] = Field(
        ["image", "photo", "picture", "view"],
        description="Uninformative words of captions; never contrastive concepts.",
    )
    delta: Fraction = Field(
        0.8, description="A candidate whose cosine similarity to the concept is delta or more is dropped."
    )
    remove_parts: bool = Field(
        False,
        description="CC^D - parts (paper 6.4): the judge's model lists the parts of each visible "
        "concept, and they are dropped.",
    )
    beta: Fraction = Field(
        0.9, description="With several queries, a contrastive concept more similar than beta to any query is dropped."
    )

    def gamma_for(self, corpus: str) -> float:
        """The threshold of one corpus; KeyError when gamma is given per corpus and this one is not listed."""
        return self.gamma[corpus] if isinstance(self.gamma, dict) else self.gamma
