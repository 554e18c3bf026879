"""The matching kernel: finds the concepts that each caption mentions.

The steps are: read words, look them up, keep nouns, find concepts. A block of captions goes through each step together,
so that the step's tables stay in the cache and its branches are predicted (otherwise the stage takes 14 % longer with
nouns told apart, else 5 %). The result does not depend on the order of captions, blocks or threads.
"""

import numpy as np

from contrastive_concepts.matching.forms import fetch_displacement, fetch_slot, look_up, row_of, word_of
from contrastive_concepts.matching.nouns import FIRST_OTHER, keep_nouns, row_of_unknown
from contrastive_concepts.matching.tables import Captions, Concepts, Found, Rules, Scratch, Tables, jit, part
from contrastive_concepts.matching.tokens import note_boundary, read_tokens

BLOCK = 256
"""Number of captions in a block."""
AHEAD = 8
"""How many words ahead a form's slot is prefetched; its displacement is prefetched twice as far ahead."""
SPARE = 2 * AHEAD + 2
"""Free tokens behind the last word, which prefetching reads."""
UNKNOWN, PHRASE_BREAK = -1, -2
ROWS, NULL, EMPTY, INVALID_UTF8, GIGANTIC, MATCHED, MENTIONS = range(7)


@jit
def list_concepts(captions: Captions, row: int, rules: Rules, tables: Tables, scratch: Scratch, found: Found) -> int:
    """Write the concepts of each caption, beginning with caption `row`, to found.concepts, one list after the other.

    Returns the first row that is not done. It stops while there is room for a caption that mentions every concept.
    """
    size = done = 0
    total = scratch.concept_stamps.shape[0]
    while row < captions.starts.shape[0]:
        block, words = read_block(captions, row, rules, tables, scratch)
        look_up_words(words, rules, tables, scratch)
        done = 0
        while done < block and size + total < found.concepts.shape[0]:
            before = size
            size = find_concepts(done, rules, tables, scratch, found, size)
            found.ends[row + done] = size
            found.statistics[MATCHED] += size > before
            done += 1
        note_statistics(captions, row, done, rules, scratch, found)
        row += done
        if done < block:
            break
    found.statistics[MENTIONS] += size
    return row


@part
def note_statistics(captions: Captions, row: int, count: int, rules: Rules, scratch: Scratch, found: Found) -> None:
    """Count nulls, empty captions and so on among `count` captions from `row` on."""
    statistics = found.statistics
    statistics[ROWS] += count
    for k in range(count):
        start, stop = captions.starts[row + k], captions.stops[row + k]
        statistics[NULL] += start < 0
        statistics[EMPTY] += start == stop and start >= 0
        statistics[INVALID_UTF8] += not scratch.valid[k]
        statistics[GIGANTIC] += stop - start > rules.max_bytes


@part
def read_block(captions: Captions, row: int, rules: Rules, tables: Tables, scratch: Scratch) -> tuple[int, int]:
    """Read captions from `row` on until the scratch space is full. Returns the numbers of captions and words.

    Sets for each caption its first token and the one behind its last (scratch.begins, scratch.stops), and whether it is
    UTF-8 (scratch.valid).
    """
    tokens = scratch.tokens
    token = place = taken = block = 0
    if rules.tagged:
        note_boundary(tokens, token)
        token = 1
    while row + block < captions.starts.shape[0] and block < scratch.valid.shape[0]:
        start, stop = captions.starts[row + block], captions.stops[row + block]
        valid = True
        scratch.begins[block] = token
        scratch.stops[block] = token
        if start >= 0 and stop - start <= rules.max_bytes:
            # A caption has at most one word or break per byte, and one boundary.
            taken += stop - start + 1
            if block and taken > tokens.keys.shape[0] - SPARE:
                break
            token, place, valid = read_tokens(captions, row + block, rules, tables.characters, tokens, token, place)
            scratch.stops[block] = token
            if rules.tagged:
                note_boundary(tokens, token)
                token += 1
        scratch.valid[block] = valid
        block += 1
    return block, token


@part
def look_up_words(count: int, rules: Rules, tables: Tables, scratch: Scratch) -> None:
    """Write the vocabulary words of the first `count` tokens to scratch.sequence.

    Phrase mode writes UNKNOWN for a word that is in no concept and PHRASE_BREAK for a break; bag mode leaves both out.
    If nouns are told apart, tokens.heads receives what the noun model stores for each token.
    """
    tokens, sequence = scratch.tokens, scratch.sequence
    concepts = tables.concepts
    first_shared = concepts.alone.shape[0]
    entries = 0
    for token in range(count):
        # Prefetching: without it the stage takes 16 % longer with nouns told apart, where the table is larger, and
        # up to 5 % longer otherwise.
        fetch_displacement(tokens.keys[token + 2 * AHEAD], tables.forms)
        fetch_slot(tokens.keys[token + AHEAD], tables.forms)
        form = look_up(tokens.keys[token], tokens.lengths[token], tokens.chunks, tokens.places[token], tables.forms)
        word = word_of(form)
        tokens.entered[token] = entries
        if rules.tagged:
            row = row_of(form)
            if row == 0:
                row = row_of_unknown(tokens, token, tables.nouns)
            tokens.heads[token] = tables.nouns.row_heads[np.uint64(row)]
        if rules.phrase and tokens.broken[token]:
            sequence[entries] = PHRASE_BREAK
            entries += 1
        if word >= first_shared:
            entries = enter_shared(word - first_shared, token, entries, concepts, scratch)
        else:
            sequence[entries] = word
            scratch.owners[entries] = token
            entries += int(rules.phrase) | int(word >= 0)
    tokens.entered[count] = entries


@part
def enter_shared(number: int, token: int, entries: int, concepts: Concepts, scratch: Scratch) -> int:
    """Append every word of a form that has several words. Returns the new number of entries.

    There is enough room, because no form belongs to more words than it has bytes.
    """
    for k in range(concepts.shared_offsets[number], concepts.shared_offsets[number + 1]):
        scratch.sequence[entries] = concepts.shared_words[k]
        scratch.owners[entries] = token
        entries += 1
    return entries


@part
def find_concepts(caption: int, rules: Rules, tables: Tables, scratch: Scratch, found: Found, size: int) -> int:
    """Append the concepts of one caption of the block to found.concepts. Returns the new number of concepts."""
    first = int(np.int64(scratch.tokens.entered[scratch.begins[caption]]))
    end = int(np.int64(scratch.tokens.entered[scratch.stops[caption]]))
    if rules.tagged:
        end = keep_nouns(first, end, rules.phrase, tables.nouns, scratch)
    scratch.clock[0] += 1
    if rules.phrase:
        return find_phrases(first, end, tables.concepts, scratch, found, size)
    return find_bags(first, end, tables.concepts, scratch, found, size)


@part
def find_bags(first: int, end: int, concepts: Concepts, scratch: Scratch, found: Found, size: int) -> int:
    """Append each concept once whose words are all in scratch.sequence[first:end], in any order."""
    sequence, stamps, now = scratch.sequence, scratch.word_stamps, scratch.clock[0]
    distinct = first
    for position in range(first, end):
        word = sequence[position]
        if stamps[word] != now:
            stamps[word] = now
            found.concepts[size] = concepts.alone[word]
            size += int(concepts.alone[word] >= 0)
            sequence[distinct] = word
            distinct += int(concepts.anchors[word] < concepts.anchors[word + 1])
    for position in range(first, distinct):
        word = sequence[position]
        for anchor in range(concepts.anchors[word], concepts.anchors[word + 1]):
            present = stamps[concepts.places[anchor]] == now
            for k in range(concepts.checks[anchor], concepts.checks[anchor + 1]):
                present &= stamps[concepts.checked_words[k]] == now
            found.concepts[size] = concepts.anchored[anchor]
            size += int(present)
    return size


@part
def find_phrases(first: int, end: int, concepts: Concepts, scratch: Scratch, found: Found, size: int) -> int:
    """Append each concept once whose words are adjacent and in order in scratch.sequence[first:end]."""
    sequence, now = scratch.sequence, scratch.clock[0]
    for position in range(first, end):
        word = sequence[position]
        if word >= 0 and concepts.alone[word] >= 0 and scratch.word_stamps[word] != now:
            scratch.word_stamps[word] = now
            found.concepts[size] = concepts.alone[word]
            size += 1
    for position in range(first, end):
        word = sequence[position]
        if word <= FIRST_OTHER:
            word = FIRST_OTHER - word
        if word < 0:
            continue
        for anchor in range(concepts.anchors[word], concepts.anchors[word + 1]):
            concept, begin = concepts.anchored[anchor], position - concepts.places[anchor]
            first_check = concepts.checks[anchor]
            length = concepts.checks[anchor + 1] - first_check
            if begin < first or begin + length > end or sequence[begin + length - 1] < 0:
                continue
            k = 0
            while k < length and stands_for(sequence[begin + k], concepts.checked_words[first_check + k]):
                k += 1
            if k == length and scratch.concept_stamps[concept] != now:
                scratch.concept_stamps[concept] = now
                found.concepts[size] = concept
                size += 1
    return size


@part
def stands_for(entry: int, word: int) -> bool:
    """Whether an entry is this word, as a noun or not."""
    return entry == word or entry == FIRST_OTHER - word
