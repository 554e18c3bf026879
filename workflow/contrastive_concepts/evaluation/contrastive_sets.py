"""Which texts a query is contrasted with (paper 3.2-3.6, 4.3): sets are values, one call gives a query's negatives."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from contrastive_concepts.config.selection import BACKGROUND, BETA
from contrastive_concepts.errors import UserError
from contrastive_concepts.selection.union import far_from_queries
from contrastive_concepts.similarity.store import Embeddings


@dataclass(frozen=True)
class ContrastiveSet:
    """Negatives of each query, by name of the set.

    concepts: query -> negatives; a query that is missing is an error. background: "background" is added in front.
    present_only: of the negatives, only classes that the image shows (per-image oracle). original: the segmenter's
    own background handling is on as well."""

    name: str
    concepts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    background: bool = False
    present_only: bool = False
    original: bool = False

    def negatives(self, query: str, present: Sequence[str] = ()) -> tuple[str, ...]:
        """Distinct negatives in order, the query itself and the empty text left out."""
        listed: Sequence[str] = ()
        if self.concepts:
            if query not in self.concepts:
                raise UserError(f"contrastive set {self.name!r}: query {query!r} is missing, expected its concepts")
            listed = self.concepts[query]
        if self.present_only:
            listed = [concept for concept in listed if concept in present]
        both = [BACKGROUND, *listed] if self.background else listed
        return tuple(text for text in dict.fromkeys(both) if text and text != query)


def none(original: bool = False) -> ContrastiveSet:
    """The query alone: every pixel is the query, unless the segmenter handles the background itself."""
    return ContrastiveSet("original" if original else "none", original=original)


def background_only(original: bool = False) -> ContrastiveSet:
    return ContrastiveSet("bg", background=True, original=original)


def from_mapping(
    name: str, concepts: Mapping[str, Sequence[str]], background: bool = False, original: bool = False
) -> ContrastiveSet:
    """CC^D, CC^L or any other list of negatives by query."""
    return ContrastiveSet(
        name, {query: tuple(texts) for query, texts in concepts.items()}, background, original=original
    )


def oracle(classes: Sequence[str], background: bool = False) -> ContrastiveSet:
    """All other classes of the data set, "background" not among them (paper 4.3)."""
    return ContrastiveSet("oracle", _others(classes), background)


def image_oracle(classes: Sequence[str], background: bool = False) -> ContrastiveSet:
    """The other classes that the image shows, a data set's background class among them."""
    shown = {
        query: (*others, *(name for name in classes if name == BACKGROUND))
        for query, others in _others(classes).items()
    }
    return ContrastiveSet("image_oracle", shown, background, present_only=True)


def random_control(
    like: ContrastiveSet, vocabulary: Sequence[str], seed: int = 0, name: str = "random"
) -> ContrastiveSet:
    """As many negatives for each query as `like` has, drawn without replacement from a vocabulary."""
    drawn = {}
    for query, concepts in like.concepts.items():
        pool = [text for text in dict.fromkeys(vocabulary) if text != query and text != BACKGROUND]
        size = len([text for text in dict.fromkeys(concepts) if text not in (query, BACKGROUND)])
        if size > len(pool):
            raise UserError(f"random control: found {len(pool)} words, expected {size} or more for {query!r}")
        # Seeded by the query as well: a further query leaves the others' draws as they are.
        drawn[query] = tuple(random.Random(f"{seed}:{query}").sample(pool, size))
    return ContrastiveSet(name, drawn, like.background, original=like.original)


def union(
    chosen: ContrastiveSet, queries: Sequence[str], embeddings: Mapping[str, Embeddings], beta: float = BETA
) -> tuple[str, ...]:
    """CC_Q of several queries (paper 3.6): the union of their negatives, less those with a cosine above beta to any.

    embeddings: text -> unit vector [D]. "background" passes the same test."""
    texts = dict.fromkeys(text for query in queries for text in chosen.negatives(query, queries))
    negatives = [text for text in texts if text not in queries]
    if not negatives:
        return ()
    vectors = np.stack([embeddings[text] for text in negatives])
    stays = far_from_queries(vectors, np.stack([embeddings[query] for query in queries]), beta)
    return tuple(text for text, far in zip(negatives, stays, strict=True) if far)


def _others(classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    named = [name for name in classes if name != BACKGROUND]
    return {query: tuple(name for name in named if name != query) for query in named}
