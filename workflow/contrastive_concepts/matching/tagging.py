"""From forms to words: which of a caption's words are nouns, by a linear model over each word and its neighbours."""

import numpy as np

from contrastive_concepts.matching.reading import FIRST_KIND, PHRASE_BREAK, UNKNOWN
from contrastive_concepts.matching.tables import Scratch, Tables, part

BOUNDARY_ROW = 0
"""Stands for the word before the first and after the last, whose letter case is OUTSIDE."""
OUTSIDE = 3
FIRST_OTHER = -3
"""In a phrase, a word that is no noun is entered as FIRST_OTHER - its number: it may stand before the head."""


@part
def keep_words(length: int, tables: Tables, phrase: bool, scratch: Scratch) -> int:
    """Turn the forms in scratch.sequence into words, whatever they are; returns how many entries remain."""
    sequence = scratch.sequence
    kept = 0
    for position in range(length):
        form = sequence[position]
        if form >= 0:
            sequence[kept] = tables.form_words[form]
            kept += 1
        elif phrase:
            sequence[kept] = form
            kept += 1
    return kept


@part
def row_of(form: int, tables: Tables) -> int:
    """The model's row of a form, known or not."""
    return int(tables.form_rows[form] if form >= 0 else tables.kind_rows[FIRST_KIND - form])


@part
def is_noun(before: int, row: int, after: int, cases: tuple[int, int, int], tables: Tables) -> bool:
    """Whether the weights of a word, of the words before and after it, and of their letter cases add up to a noun."""
    weights, classes = tables.row_weights, tables.row_classes
    count = tables.triple_weights.shape[0]
    left, own, right = classes[before], classes[row], classes[after]
    score = np.int64(weights[row, cases[1]]) + weights[row, 5 + left] + weights[row, 5 + count + right]
    score += np.int64(weights[before, 3]) + weights[after, 4]
    score += np.int64(tables.triple_weights[left, own, right])
    score += np.int64(tables.case_weights[own, cases[1], cases[0], cases[2]])
    return bool(score > 0)


@part
def keep_nouns(length: int, tables: Tables, phrase: bool, scratch: Scratch) -> int:
    """Turn the forms in scratch.sequence into the words that are nouns; returns how many entries remain.

    With `phrase`, words that are none are kept as FIRST_OTHER - word.
    """
    sequence, cases = scratch.sequence, scratch.cases
    before, before_case = BOUNDARY_ROW, OUTSIDE
    kept = 0
    for position in range(length):
        form = sequence[position]
        if form == PHRASE_BREAK:
            sequence[kept] = PHRASE_BREAK
            kept += phrase
            continue
        row = row_of(form, tables)
        word = tables.form_words[form] if form >= 0 else UNKNOWN
        if word >= 0:
            follower = position + 1
            while follower < length and sequence[follower] == PHRASE_BREAK:
                follower += 1
            after, after_case = BOUNDARY_ROW, OUTSIDE
            if follower < length:
                after, after_case = row_of(sequence[follower], tables), int(cases[follower])
            if is_noun(before, row, after, (before_case, int(cases[position]), after_case), tables):
                sequence[kept] = word
                kept += 1
            elif phrase:
                sequence[kept] = FIRST_OTHER - word
                kept += 1
        elif phrase:
            sequence[kept] = UNKNOWN
            kept += 1
        before, before_case = row, int(cases[position])
    return kept
