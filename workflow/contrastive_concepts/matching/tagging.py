"""Which of a caption's words are nouns, by a linear model over each word and its neighbours."""

import numpy as np

from contrastive_concepts.matching.tables import Scratch, Tables, part

BOUNDARY_ROW = 0
"""Stands for the word before the first and after the last, whose letter case is OUTSIDE."""
OUTSIDE = 3
FIRST_OTHER = -3
"""In a phrase, a word that is no noun is entered as FIRST_OTHER - its number: it may stand before the head."""


@part
def is_noun(token: int, tables: Tables, scratch: Scratch) -> bool:
    """Whether the weights of a word, of the words before and after it, and of their letter cases add up to a noun."""
    weights, classes = tables.row_weights, tables.row_classes
    count = tables.triple_weights.shape[0]
    before, row, after = scratch.rows[token - 1], scratch.rows[token], scratch.rows[token + 1]
    left, own, right = classes[before], classes[row], classes[after]
    case = scratch.cases[token]
    score = np.int64(weights[row, case]) + weights[row, 5 + left] + weights[row, 5 + count + right]
    score += np.int64(weights[before, 3]) + weights[after, 4]
    score += np.int64(tables.triple_weights[left, own, right])
    score += np.int64(tables.case_weights[own, case, scratch.cases[token - 1], scratch.cases[token + 1]])
    return bool(score > 0)


@part
def keep_nouns(length: int, tokens: int, tables: Tables, phrase: bool, scratch: Scratch) -> int:
    """Keep the words in scratch.sequence that are nouns; returns how many entries remain.

    With `phrase`, everything else is kept too, the other words as FIRST_OTHER - word.
    """
    sequence, rows, cases = scratch.sequence, scratch.rows, scratch.cases
    rows[0] = rows[tokens + 1] = BOUNDARY_ROW
    cases[0] = cases[tokens + 1] = OUTSIDE
    kept = 0
    for position in range(length):
        word = sequence[position]
        if word < 0:
            sequence[kept] = word
            kept += 1
            continue
        noun = is_noun(scratch.tokens[position], tables, scratch)
        sequence[kept] = FIRST_OTHER - word if phrase and not noun else word
        kept += int(phrase) | int(noun)
    return kept
