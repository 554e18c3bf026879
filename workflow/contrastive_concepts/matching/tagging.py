"""Which of a caption's words are nouns, by a linear model over each word and its neighbours."""

import numpy as np

from contrastive_concepts.matching.tables import Scratch, Tables, part

ONE = np.uint64(1)
BOUNDARY_ROW = 0
"""Stands for the word before the first and after the last, whose letter case is OUTSIDE."""
OUTSIDE = 3
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
def is_noun(token: int, tables: Tables, scratch: Scratch) -> bool:
    """Whether the weights of a word, of the words before and after it, and of their letter cases add up to a noun."""
    heads, cases, weights = scratch.heads, scratch.cases, tables.row_weights
    count = np.uint64(tables.triple_weights.shape[0])
    now = np.uint64(token)
    head, row, case = heads[now], np.uint64(scratch.rows[now]), np.uint64(cases[now])
    before, after = heads[now - ONE], heads[now + ONE]
    left, own, right = byte_at(before, 0), byte_at(head, 0), byte_at(after, 0)
    score = weight_at(head, np.uint64(3) + case) + weight_at(before, ONE) + weight_at(after, np.uint64(2))
    score += np.int64(weights[row, left]) + weights[row, count + right]
    score += np.int64(tables.triple_weights[left, own, right])
    score += np.int64(tables.case_weights[own, case, np.uint64(cases[now - ONE]), np.uint64(cases[now + ONE])])
    return bool(score > 0)


@part
def note_boundary(token: int, tables: Tables, scratch: Scratch) -> None:
    """Before a caption's first token, and after its last."""
    scratch.heads[np.uint64(token)] = tables.row_heads[BOUNDARY_ROW]
    scratch.cases[np.uint64(token)] = OUTSIDE


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
