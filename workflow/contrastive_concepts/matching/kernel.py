"""The matching kernel: batches of captions to the concepts that each mentions.

Nothing here depends on the order of captions, batches or threads.
"""

from contrastive_concepts.matching.finding import read_concepts
from contrastive_concepts.matching.tables import I32, I64, U8, Scratch, Tables, jit

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
    for now in range(row, starts.shape[0]):
        start, stop = starts[now], stops[now]
        found, valid = 0, True
        readable = start >= 0 and stop - start <= max_bytes
        if readable:
            found, valid = read_concepts(data, start, stop, tables, phrase, tagged, scratch)
            if size + found > listed.shape[0]:
                return now
            for k in range(found):
                listed[size + k] = scratch.concepts[k]
            size += found
        ends[now] = size
        statistics[ROWS] += 1
        statistics[NULL] += start < 0
        statistics[EMPTY] += start == stop and start >= 0
        statistics[INVALID_UTF8] += not valid
        statistics[GIGANTIC] += not readable and start >= 0
        statistics[MATCHED] += found > 0
        statistics[MENTIONS] += found
    return int(starts.shape[0])
