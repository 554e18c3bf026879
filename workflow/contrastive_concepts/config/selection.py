"""Settings of the selection of contrastive concepts: gamma, the stop-list, delta, beta (paper 3.4, 3.6)."""

from typing import Annotated, Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings

BACKGROUND = "background"
"""The first contrastive concept of each query in the paper (3.3)."""
BETA = 0.9
"""The paper's similarity threshold for several queries (3.6)."""
CONTEXT = "context"
TYPES = {"similar": "confusable", "part": "part", "not visible": "abstract", "stop-list": "generic"}
"""What a rejected candidate is to the concept, by reason; a contrastive concept is its context. The other reasons leave
out contexts that an option judges to be superfluous."""

Fraction = Annotated[float, Field(ge=0, le=1)]


class AssociationBase(Settings):
    """Keys of all association measures."""

    captions: int | None = Field(
        None,
        ge=1,
        description="Number of captions in the corpus; null: as counted. Needed for a concept index, which lacks it.",
    )


class Lift(AssociationBase):
    """P(i, j) / (P(i) P(j)): how many times more often than by chance two concepts occur together."""

    measure: Literal["lift"] = Field(
        description="Lift: how many times more often than by chance two concepts occur together."
    )
    at_least: float = Field(1.0, ge=0, description="Candidates with a lower value are dropped; 1 is chance.")


class Npmi(AssociationBase):
    """Normalised pointwise mutual information: 0 is chance, 1 if the two concepts always occur together."""

    measure: Literal["npmi"] = Field(description="Normalised pointwise mutual information.")
    at_least: float = Field(0.0, ge=-1, le=1, description="Candidates with a lower value are dropped; 0 is chance.")


class Significance(AssociationBase):
    """A one-sided log-likelihood ratio test of all pairs of concepts, with Benjamini and Hochberg's procedure."""

    measure: Literal["significance"] = Field(description="A one-sided log-likelihood ratio test.")
    false_discovery: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="False discovery rate: expected share of chance pairs among the pairs that are kept.",
    )


AssociationSettings = Annotated[Lift | Npmi | Significance, Field(discriminator="measure")]
MaxConcepts = Annotated[int, Field(ge=1)]


class SelectionSettings(Settings):
    """The thresholds. All comparisons are as in the paper and in the authors' code."""

    gamma: Fraction | dict[str, Fraction] = Field(
        0.01,
        description="j is a candidate for i if X[i, j] / X[i, i] > gamma (strict). A number, "
        "or a number for each corpus by name.",
    )
    stoplist: list[str] = Field(
        ["image", "photo", "picture", "view"],
        description="Words of captions that say nothing about the image. They are never contrastive concepts.",
    )
    stoplist_by: Literal["name", "lemma"] = Field(
        "name",
        description="How concepts are compared with the stop-list. name: exactly, as in the authors' rule; lemma: in "
        "any form, so that `photo` also stops `Photos`.",
    )
    delta: Fraction = Field(
        0.8, description="A candidate whose cosine similarity to the concept is delta or more is dropped."
    )
    remove_parts: bool = Field(
        False,
        description="Drop parts (CC^D - parts, paper 6.4): the judge's model lists the parts of each visible concept, "
        "and these are not contrastive concepts.",
    )
    association: AssociationSettings | None = Field(
        None,
        description="Beyond the paper: an association measure as a further filter after gamma. It also ranks the "
        "candidates; null: no filter, ranked by frequency.",
    )
    redundancy: Fraction | None = Field(
        None,
        description="Beyond the paper: a contrastive concept is dropped if its cosine to a higher-ranked one of the "
        "same concept is this or more; null: no such filter.",
    )
    max_concepts: MaxConcepts | None = Field(
        None, description="Beyond the paper: maximum number of contrastive concepts, highest-ranked first; null: all."
    )
    beta: Fraction = Field(
        BETA,
        description="With several queries, a contrastive concept is dropped if its cosine to any query is above beta.",
    )

    def gamma_for(self, corpus: str) -> float:
        """The threshold of one corpus. Raises KeyError if gamma is given by corpus and this one is missing."""
        return self.gamma[corpus] if isinstance(self.gamma, dict) else self.gamma
