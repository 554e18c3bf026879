"""Which of a caption's words are nouns, by a linear model over each word and its neighbours."""

import numpy as np

from contrastive_concepts.matching.tables import Scratch, Tables, part
from contrastive_concepts.matching.tokens import CASE_BITS

ONE = np.uint64(1)
FIRST_OTHER = -3
"""In a phrase, a word that is no noun is entered as FIRST_OTHER - its number: it may stand before the head."""


@part
def byte_at(head: np.uint64, place: int) -> np.uint64:
    """One byte of a head, see `Tables`."""
    return np.uint64(head >> np.uint64(8 * place) & np.uint64(0xFF))


@part
def weight_at(head: np.uint64, place: np.uint64) -> np.int64:
    """One byte of a head as a signed number."""
    return np.int64(np.int8(head >> (np.uint64(8) * place) & np.uint64(0xFF)))


@part
def case_of(token: np.uint64, scratch: Scratch) -> np.uint64:
    """The letter case of a token."""
    return np.uint64(scratch.sizes[token] & ((1 << CASE_BITS) - 1))


@part
def is_noun(token: int, tables: Tables, scratch: Scratch) -> bool:
    """Whether the weights of a word, of the words before and after it, and of their letter cases add up to a noun."""
    heads, weights = scratch.heads, tables.row_weights
    count = np.uint64(tables.triple_weights.shape[0])
    now = np.uint64(token)
    head, before, after = heads[now], heads[now - ONE], heads[now + ONE]
    row, case = head >> np.uint64(48), case_of(now, scratch)
    left, own, right = byte_at(before, 0), byte_at(head, 0), byte_at(after, 0)
    score = weight_at(head, np.uint64(3) + case) + weight_at(before, ONE) + weight_at(after, np.uint64(2))
    score += np.int64(weights[row, left]) + weights[row, count + right]
    score += np.int64(tables.triple_weights[left, own, right])
    score += np.int64(tables.case_weights[own, case, case_of(now - ONE, scratch), case_of(now + ONE, scratch)])
    return bool(score > 0)


@part
def keep_nouns(first: int, end: int, tables: Tables, phrase: bool, scratch: Scratch) -> int:
    """Keep the words in scratch.sequence[first:end] that are nouns; returns where what remains ends.

    With `phrase`, everything else is kept too, the other words as FIRST_OTHER - word.
    """
    sequence = scratch.sequence
    kept = first
    for position in range(first, end):
        word = sequence[np.uint64(position)]
        if word < 0:
            sequence[np.uint64(kept)] = word
            kept += 1
            continue
        noun = is_noun(scratch.tokens[np.uint64(position)], tables, scratch)
        sequence[np.uint64(kept)] = FIRST_OTHER - word if phrase and not noun else word
        kept += int(phrase) | int(noun)
    return kept
