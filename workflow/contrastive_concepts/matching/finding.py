"""From words to concepts: what a caption mentions, each concept once."""

import numpy as np

from contrastive_concepts.matching.tables import I32, Scratch, Tables, part
from contrastive_concepts.matching.tagging import FIRST_OTHER

ONE, TWO, THREE = (np.uint64(n) for n in (1, 2, 3))
FOUR = TWO
"""Four numbers of each word and anchored concept: a shift by two bits."""


@part
def find_concepts(
    first: int, end: int, tables: Tables, phrase: bool, scratch: Scratch, concepts: I32, found: int
) -> int:
    """Write the concepts of the words in scratch.sequence[first:end] to `concepts`, each once, behind the `found` ones.

    Returns how many they are then.
    """
    sequence, words = scratch.sequence, tables.words
    scratch.clock[0] += 1
    now = scratch.clock[0]
    distinct = first
    for position in range(first, end):
        word = sequence[np.uint64(position)]
        if word >= 0 and scratch.word_stamps[np.uint64(word)] != now:
            scratch.word_stamps[np.uint64(word)] = now
            about = np.uint64(word) << FOUR
            concepts[np.uint64(found)] = words[about]
            found += int(words[about] >= 0)
            if not phrase:
                sequence[np.uint64(distinct)] = word
                distinct += int(words[about + TWO] > words[about + ONE])
    if phrase:
        return find_phrases(first, end, tables, scratch, concepts, found)
    for position in range(first, distinct):
        about = np.uint64(sequence[np.uint64(position)]) << FOUR
        for anchor in range(words[about + ONE], words[about + TWO]):
            # Seldom there, and written all the same: a branch would be foreseen wrongly where it is.
            row = np.uint64(anchor) << FOUR
            present = scratch.word_stamps[np.uint64(tables.anchored[row + ONE])] == now
            for k in range(tables.anchored[row + TWO], tables.anchored[row + THREE]):
                present &= scratch.word_stamps[np.uint64(tables.anchored_words[np.uint64(k)])] == now
            concepts[np.uint64(found)] = tables.anchored[row]
            found += int(present)
    return found


@part
def find_phrases(first: int, end: int, tables: Tables, scratch: Scratch, concepts: I32, found: int) -> int:
    """Add the concepts whose words stand next to each other to the `found` ones; returns how many they are then."""
    sequence, now = scratch.sequence, scratch.clock[0]
    for position in range(first, end):
        word = sequence[position]
        if word <= FIRST_OTHER:
            word = FIRST_OTHER - word
        if word < 0:
            continue
        for anchor in range(tables.words[4 * word + 1], tables.words[4 * word + 2]):
            concept, shift = tables.anchored[4 * anchor], tables.anchored[4 * anchor + 1]
            begin_checked, end_checked = tables.anchored[4 * anchor + 2], tables.anchored[4 * anchor + 3]
            begin, length = position - shift, end_checked - begin_checked
            if begin < first or begin + length > end or sequence[begin + length - 1] < 0:
                continue
            k = 0
            while k < length and stands_for(sequence[begin + k], tables.anchored_words[begin_checked + k]):
                k += 1
            if k == length and scratch.concept_stamps[concept] != now:
                scratch.concept_stamps[concept] = now
                concepts[found] = concept
                found += 1
    return found


@part
def stands_for(entry: int, word: int) -> bool:
    """Whether an entry is this word, as a noun or otherwise."""
    return entry == word or entry == FIRST_OTHER - word
