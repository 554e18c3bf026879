"""Compares the noun model with spaCy by the concepts that each finds in the same captions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contrastive_concepts.matching.counting import mentions
from contrastive_concepts.matching.lexicon import Lexicon
from contrastive_concepts.matching.nouns import Nouns


@dataclass(frozen=True)
class Agreement:
    """Numbers of mentions (pairs of caption and concept) that both find, or only the table, or only spaCy.

    worst: the concepts with most differences, with "+" if only the table finds them and "-" if only spaCy does.
    """

    captions: int
    both: int
    only_table: int
    only_spacy: int
    worst: tuple[tuple[str, int], ...]

    @property
    def precision(self) -> float:
        return self.both / max(self.both + self.only_table, 1)

    @property
    def recall(self) -> float:
        return self.both / max(self.both + self.only_spacy, 1)

    @property
    def f1(self) -> float:
        return 2 * self.both / max(2 * self.both + self.only_table + self.only_spacy, 1)


def agreement(
    captions: pa.Array,
    concepts: Sequence[str],
    nouns: Literal["filtered", "index"],
    table: Nouns | None = None,
    worst: int = 20,
) -> Agreement:
    """Compare the mentions found with the noun model for `nouns` (or with `table`) with those found with spaCy."""
    kept = captions.drop_null()
    by_spacy = _pairs(kept, Lexicon.build(concepts, "bag", nouns, "spacy"))
    by_table = _pairs(kept, Lexicon.build(concepts, "bag", table or nouns, "table"))
    too_many, missed = np.setdiff1d(by_table, by_spacy), np.setdiff1d(by_spacy, by_table)
    wrong = Counter({f"+{concepts[k]}": n for k, n in Counter((too_many % len(concepts)).tolist()).items()})
    wrong.update({f"-{concepts[k]}": n for k, n in Counter((missed % len(concepts)).tolist()).items()})
    ordered = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))
    both = len(by_table) - len(too_many)
    return Agreement(len(kept), both, len(too_many), len(missed), tuple(ordered[:worst]))


def _pairs(captions: pa.Array, lexicon: Lexicon) -> npt.NDArray[np.int64]:
    """Every mention as row * concepts + concept, ascending."""
    indptr, found = mentions(captions, lexicon)
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)) * len(lexicon.concepts) + found
