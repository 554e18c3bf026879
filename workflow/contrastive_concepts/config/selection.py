"""Settings of the selection of contrastive concepts: gamma, the stop-list, delta, beta (paper 3.4, 3.6)."""

from typing import Annotated, Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings

BACKGROUND = "background"
"""What the paper contrasts each query with first of all (3.3)."""
BETA = 0.9
"""The paper's threshold for several queries (3.6)."""

Fraction = Annotated[float, Field(ge=0, le=1)]


class AssociationBase(Settings):
    """What the measures have in common."""

    captions: int | None = Field(
        None, ge=1, description="Number of captions of the corpus; null: as read. A concept index does not tell it."
    )


class Lift(AssociationBase):
    """P(i, j) / (P(i) P(j)): how many times more often than by chance."""

    measure: Literal["lift"] = Field(description="How many times more often than by chance.")
    at_least: float = Field(1.0, ge=0, description="Candidates with less are dropped; 1 is chance.")


class Npmi(AssociationBase):
    """Normalised pointwise mutual information: 0 is chance, 1 never the one without the other."""

    measure: Literal["npmi"] = Field(description="Normalised pointwise mutual information.")
    at_least: float = Field(0.0, ge=-1, le=1, description="Candidates with less are dropped; 0 is chance.")


class Significance(AssociationBase):
    """A one-sided log-likelihood ratio test, over all pairs of concepts by Benjamini and Hochberg's procedure."""

    measure: Literal["significance"] = Field(description="A one-sided log-likelihood ratio test.")
    false_discovery: float = Field(
        0.05, gt=0, lt=1, description="Expected share of chance pairs among those that pass; the others are dropped."
    )


AssociationSettings = Annotated[Lift | Npmi | Significance, Field(discriminator="measure")]
MaxConcepts = Annotated[int, Field(ge=1)]


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
    stoplist_by: Literal["name", "lemma"] = Field(
        "name",
        description="What of a concept is on the stop-list. name: its name as it is, as in the authors' rule; lemma: "
        "any form of it, so that `photo` also stops `Photos`.",
    )
    delta: Fraction = Field(
        0.8, description="A candidate whose cosine similarity to the concept is delta or more is dropped."
    )
    remove_parts: bool = Field(
        False,
        description="CC^D - parts (paper 6.4): the judge's model lists the parts of each visible "
        "concept, and they are dropped.",
    )
    association: AssociationSettings | None = Field(
        None,
        description="Beyond the paper: a measure of association that candidates over gamma must also pass, and are "
        "ranked by; null: none, ranked by frequency.",
    )
    redundancy: Fraction | None = Field(
        None,
        description="Beyond the paper: a contrastive concept whose cosine to a higher-ranked one of the same concept "
        "is this or more is dropped; null: none is.",
    )
    max_concepts: MaxConcepts | None = Field(
        None, description="Beyond the paper: at most so many contrastive concepts, the highest-ranked; null: all."
    )
    beta: Fraction = Field(
        BETA, description="With several queries, a contrastive concept more similar than beta to any query is dropped."
    )

    def gamma_for(self, corpus: str) -> float:
        """The threshold of one corpus; KeyError when gamma is given per corpus and this one is not listed."""
        return self.gamma[corpus] if isinstance(self.gamma, dict) else self.gamma
