"""The texts that an open-vocabulary model is asked: queries first, their negatives after them."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from contrastive_concepts.config.selection import BACKGROUND
from contrastive_concepts.dictionary.contrastive import ContrastiveConcepts, fold
from contrastive_concepts.errors import UserError

Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Prompts:
    """The classes of a detector or segmenter. A text's place in `texts` is its class number, from 0.

    Queries stand first, so class `i` is the query `queries[i]`, and all further classes are negatives. Raises UserError
    for an empty text, or one that is there twice (letter case, blanks and underscores make no difference)."""

    queries: tuple[str, ...]
    negatives: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.queries:
            raise UserError("queries: found none, expected at least one text")
        seen: dict[str, str] = {}
        for kind, texts in (("query", self.queries), ("negative", self.negatives)):
            for text in texts:
                if not isinstance(text, str) or not text.strip():
                    raise UserError(f"{kind}: found {text!r}, expected a text")
                if fold(text) in seen:
                    raise UserError(f"{kind}: found {text!r} beside {seen[fold(text)]!r}, expected distinct texts")
                seen[fold(text)] = text

    @classmethod
    def of(
        cls,
        dictionary: ContrastiveConcepts,
        queries: str | Sequence[str],
        at_most: int | None = None,
        beta: float | None = None,
        background: bool = False,
    ) -> "Prompts":
        """Queries and the negatives that the dictionary has for them.

        The negatives of one query are its contrastive concepts, the most frequent first. Those of several, asked at
        once, are `ContrastiveConcepts.union` (paper 3.6), in turn the most frequent of each query. at_most: how many
        negatives to keep. beta: of the union; None: that of the dictionary. background: keep "background", which is
        no object to detect, where the dictionary gives it. Raises UserError if there is no negative."""
        if at_most is not None and at_most < 1:
            raise UserError(f"at_most: found {at_most}, expected at least 1")
        asked = (queries,) if isinstance(queries, str) else tuple(queries)
        cls(asked, ())
        if dictionary.background and not background:
            # Else `union` would load the encoder to compare "background" with the queries.
            dictionary = copy(dictionary)
            dictionary.background = False
        ranked = [match.contrastive_concepts for match in dictionary.lookup(asked)]
        found = dict.fromkeys(name for rank in zip_longest(*ranked) for name in rank if name is not None)
        if len(asked) > 1:
            beta = dictionary.manifest.thresholds["beta"] if beta is None else beta
            stays = set(dictionary.union(asked, beta))
            found = {name: None for name in found if name in stays}
        if not background:
            found.pop(BACKGROUND, None)
        distinct: dict[str, str] = {}
        for name in found:  # a dictionary can have "t-shirt" and "T-shirt"
            distinct.setdefault(fold(name), name)
        if not distinct:
            raise UserError(f"{', '.join(map(repr, asked))}: found no contrastive concept in {dictionary.folder}")
        return cls(asked, tuple(distinct.values())[:at_most])

    @property
    def texts(self) -> tuple[str, ...]:
        """All classes, in the order of their numbers: what the model is asked."""
        return self.queries + self.negatives

    def numbers(self, labels: Sequence[str]) -> Numbers:
        """The class numbers of texts, int64 [n]. Raises UserError for a text that was not asked."""
        places = {text: number for number, text in enumerate(self.texts)}
        for row, label in enumerate(labels):
            if label not in places:
                raise UserError(f"label {row}: found {label!r}, expected one of the {len(places)} texts asked")
        return np.array([places[label] for label in labels], np.int64)
