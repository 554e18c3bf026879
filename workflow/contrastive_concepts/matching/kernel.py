"""The matching kernel: batches of captions to the concepts that each mentions.

Nothing here depends on the order of captions, batches or threads.
"""

import numpy as np

from contrastive_concepts.matching.finding import find_concepts
from contrastive_concepts.matching.reading import read_words
from contrastive_concepts.matching.tables import I32, I64, U8, Scratch, Tables, jit, part
from contrastive_concepts.matching.tagging import keep_nouns
from contrastive_concepts.matching.tokens import SPARE, look_up_words, note_boundary

ROWS, NULL, EMPTY, INVALID_UTF8, GIGANTIC, MATCHED, MENTIONS = range(7)


@jit
def list_concepts(
    data: U8,
    starts: I64,
    stops: I64,
    row: int,
    max_bytes: int,
    phrase: bool,
    tagged: bool,
    tables: Tables,
    scratch: Scratch,
    ends: I64,
    listed: I32,
    statistics: I64,
) -> int:
    """Write the concepts of each caption from `row` on to `listed`, one list after the other; a start of -1 is a null.

    `ends` (rows,) receives where each caption's list ends; statistics (7,) are added to. Returns the row before which
    there might be no room: a caption may mention every concept, and one entry more is written to.
    """
    size, concepts = 0, scratch.concept_stamps.shape[0]
    while row < starts.shape[0]:
        # Some captions at a time go through each step: its tables stay in the cache, its branches are foreseen.
        block, words = read_block(data, starts, stops, row, max_bytes, phrase, tagged, tables, scratch)
        look_up_words(words, phrase, tagged, tables, scratch)
        for k in range(block):
            first = int(np.int64(scratch.entered[scratch.begins[k]]))
            end = int(np.int64(scratch.entered[scratch.stops[k]]))
            scratch.firsts[k] = first
            scratch.ends[k] = keep_nouns(first, end, tables, phrase, scratch) if tagged else end
        done = matched = 0
        while done < block and size + concepts < listed.shape[0]:
            before = size
            size = find_concepts(scratch.firsts[done], scratch.ends[done], tables, phrase, scratch, listed, size)
            ends[row + done] = size
            matched += int(size > before)
            done += 1
        note_statistics(starts[row : row + done], stops[row : row + done], max_bytes, scratch.valid, statistics)
        statistics[MATCHED] += matched
        row += done
        if done < block:
            break
    statistics[MENTIONS] += size
    return row


@part
def note_statistics(starts: I64, stops: I64, max_bytes: int, valid: U8, statistics: I64) -> None:
    """Add to `statistics` what so many captions are, apart from what they mention."""
    statistics[ROWS] += starts.shape[0]
    for k in range(starts.shape[0]):
        statistics[NULL] += starts[k] < 0
        statistics[EMPTY] += starts[k] == stops[k] and starts[k] >= 0
        statistics[INVALID_UTF8] += not valid[k]
        statistics[GIGANTIC] += stops[k] - starts[k] > max_bytes


@part
def read_block(
    data: U8,
    starts: I64,
    stops: I64,
    row: int,
    max_bytes: int,
    phrase: bool,
    tagged: bool,
    tables: Tables,
    scratch: Scratch,
) -> tuple[int, int]:
    """Note the words of captions from `row` on, as many as there is room for; returns how many captions and words.

    scratch.begins and scratch.stops receive between which words each one's are, scratch.valid whether it is UTF-8.
    """
    token = place = taken = block = 0
    if tagged:
        note_boundary(token, scratch)
        token = 1
    while row + block < starts.shape[0] and block < scratch.valid.shape[0]:
        start, stop = starts[row + block], stops[row + block]
        valid = True
        scratch.begins[block] = token
        scratch.stops[block] = token
        if start >= 0 and stop - start <= max_bytes:
            # At most one word or one break a byte, and a boundary.
            taken += stop - start + 1
            if block and taken > scratch.keys.shape[0] - SPARE:
                break
            token, place, valid = read_words(data, start, stop, tables, phrase, tagged, scratch, token, place)
            scratch.stops[block] = token
            if tagged:
                note_boundary(token, scratch)
                token += 1
        scratch.valid[block] = valid
        block += 1
    return block, token
