"""From words to concepts: what a caption mentions, each concept once."""

from contrastive_concepts.matching.reading import read_words
from contrastive_concepts.matching.tables import U8, Scratch, Tables, part
from contrastive_concepts.matching.tagging import FIRST_OTHER, keep_nouns


@part
def read_concepts(
    data: U8, start: int, stop: int, tables: Tables, phrase: bool, tagged: bool, scratch: Scratch
) -> tuple[int, bool]:
    """Write a caption's concepts to scratch.concepts: how many, and whether all of its bytes are UTF-8."""
    length, tokens, valid = read_words(data, start, stop, tables, phrase, tagged, scratch)
    if length == 0:
        return 0, valid
    if tagged:
        length = keep_nouns(length, tokens, tables, phrase, scratch)
    return find_concepts(length, tables, phrase, scratch), valid


@part
def find_concepts(length: int, tables: Tables, phrase: bool, scratch: Scratch) -> int:
    """Write the concepts of the words in scratch.sequence to scratch.concepts, each once; returns how many."""
    sequence, concepts = scratch.sequence, scratch.concepts
    scratch.clock[0] += 1
    now = scratch.clock[0]
    distinct = 0
    found = 0
    for position in range(length):
        word = sequence[position]
        if word >= 0 and scratch.word_stamps[word] != now:
            scratch.word_stamps[word] = now
            concepts[found] = tables.single_concepts[word]
            found += int(concepts[found] >= 0)
            if not phrase:
                sequence[distinct] = word
                distinct += int(tables.anchor_offsets[word + 1] > tables.anchor_offsets[word])
    for position in range(length if phrase else distinct):
        word = sequence[position]
        if word <= FIRST_OTHER:
            word = FIRST_OTHER - word
        if word < 0:
            continue
        for anchor in range(tables.anchor_offsets[word], tables.anchor_offsets[word + 1]):
            first, last = tables.anchored_offsets[anchor], tables.anchored_offsets[anchor + 1]
            if phrase:
                begin = position - tables.anchored_shift[anchor]
                if begin < 0 or begin + last - first > length or sequence[begin + last - first - 1] < 0:
                    continue
                k = first
                while k < last and stands_for(sequence[begin + k - first], tables.anchored_words[k]):
                    k += 1
            else:
                k = first
                while k < last and scratch.word_stamps[tables.anchored_words[k]] == now:
                    k += 1
            concept = tables.anchored_concepts[anchor]
            if k == last and scratch.concept_stamps[concept] != now:
                scratch.concept_stamps[concept] = now
                concepts[found] = concept
                found += 1
    return found


@part
def stands_for(entry: int, word: int) -> bool:
    """Whether an entry is this word, as a noun or otherwise."""
    return entry == word or entry == FIRST_OTHER - word
