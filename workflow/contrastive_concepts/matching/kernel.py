"""The matching kernel: batches of captions to the concepts that each mentions.

Nothing here depends on the order of captions, batches or threads.
"""

from contrastive_concepts.matching.finding import find_concepts
from contrastive_concepts.matching.reading import read_words
from contrastive_concepts.matching.tables import I32, I64, U8, Scratch, Tables, jit, part
from contrastive_concepts.matching.tagging import keep_nouns, note_boundary

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
    room ran out.
    """
    size = 0
    while row < starts.shape[0]:
        # Some captions at a time go through each step: its tables stay in the cache, its branches are foreseen.
        block = read_block(data, starts, stops, row, max_bytes, phrase, tagged, tables, scratch)
        first = 0
        for now in range(row, row + block):
            end = scratch.ends[now - row]
            if tagged:
                scratch.ends[now - row] = keep_nouns(first, end, tables, phrase, scratch)
            scratch.firsts[now - row] = first
            first = end
        for now in range(row, row + block):
            found = find_concepts(scratch.firsts[now - row], scratch.ends[now - row], tables, phrase, scratch)
            if size + found > listed.shape[0]:
                return now
            for k in range(found):
                listed[size + k] = scratch.concepts[k]
            size += found
            ends[now] = size
            statistics[ROWS] += 1
            statistics[NULL] += starts[now] < 0
            statistics[EMPTY] += starts[now] == stops[now] and starts[now] >= 0
            statistics[INVALID_UTF8] += not scratch.valid[now - row]
            statistics[GIGANTIC] += stops[now] - starts[now] > max_bytes
            statistics[MATCHED] += found > 0
            statistics[MENTIONS] += found
        row += block
    return int(starts.shape[0])


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
) -> int:
    """Read the words of captions from `row` on, as many as there is room for; returns how many captions.

    scratch.ends receives where each one's words end in scratch.sequence, scratch.valid whether it is UTF-8.
    """
    entries = tokens = block = 0
    if tagged:
        note_boundary(tokens, tables, scratch)
    while row + block < starts.shape[0] and block < scratch.ends.shape[0]:
        start, stop = starts[row + block], stops[row + block]
        valid = True
        if start >= 0 and stop - start <= max_bytes:
            # At most one word, or one break, a byte.
            if block and max(entries, tokens) + stop - start + 2 > scratch.sequence.shape[0]:
                break
            entries, tokens, valid = read_words(data, start, stop, tables, phrase, tagged, scratch, entries, tokens)
            if tagged:
                tokens += 1
                note_boundary(tokens, tables, scratch)
        scratch.ends[block] = entries
        scratch.valid[block] = valid
        block += 1
    return block
