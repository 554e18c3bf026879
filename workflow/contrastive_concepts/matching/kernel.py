"""The matching and counting kernel: batches of captions to concepts, counts and pairs.

Nothing here depends on the order of captions, batches or threads.
"""

from contrastive_concepts.matching.finding import read_concepts
from contrastive_concepts.matching.pairs import Cells, count_pairs, settle_cells
from contrastive_concepts.matching.tables import I32, I64, U8, Scratch, Tables, jit

ROWS, NULL, EMPTY, INVALID_UTF8, GIGANTIC, MATCHED, MENTIONS = range(7)


@jit
def count_captions(
    data: U8,
    starts: I64,
    stops: I64,
    row: int,
    max_bytes: int,
    phrase: bool,
    tagged: bool,
    tables: Tables,
    scratch: Scratch,
    captions: I64,
    cells: Cells,
    waiting: I32,
    pairs: I64,
    size: int,
    statistics: I64,
) -> tuple[int, int, int]:
    """Count the concepts (`captions` (T,)) of a batch from `row` on, and their pairs; a start of -1 is a null.

    The concepts of `tables` are ranks, as in `cells`.
    `waiting` (T or more,) is room for cells. `pairs` lists from `size` on the pairs that have none. Returns the row
    before which it might have run full, how many pairs it holds then, and how many the next caption may have. Adds
    cells, captions and statistics in place.
    """
    concepts = scratch.concepts
    filled = 0
    for now in range(row, starts.shape[0]):
        start, stop = starts[now], stops[now]
        found, valid = 0, True
        readable = start >= 0 and stop - start <= max_bytes
        if readable:
            found, valid = read_concepts(data, start, stop, tables, phrase, tagged, scratch)
            if size + found * (found - 1) // 2 > pairs.shape[0]:
                settle_cells(cells, waiting, filled)
                return now, size, found * (found - 1) // 2
        statistics[ROWS] += 1
        statistics[NULL] += start < 0
        statistics[EMPTY] += start == stop and start >= 0
        statistics[INVALID_UTF8] += not valid
        statistics[GIGANTIC] += not readable and start >= 0
        statistics[MATCHED] += found > 0
        statistics[MENTIONS] += found
        for a in range(found):
            captions[concepts[a]] += 1
        filled, size = count_pairs(found, concepts, cells, waiting, filled, pairs, size)
    settle_cells(cells, waiting, filled)
    return starts.shape[0], size, 0


@jit
def list_concepts(
    data: U8,
    starts: I64,
    stops: I64,
    row: int,
    phrase: bool,
    tagged: bool,
    tables: Tables,
    scratch: Scratch,
    ends: I64,
    listed: I32,
    size: int,
) -> tuple[int, int]:
    """Write the concepts of each caption from `row` on to `listed`, one list after the other.

    `ends` (rows,) receives where each caption's list ends. Returns the row before which room ran out, and the size.
    """
    for now in range(row, starts.shape[0]):
        if starts[now] >= 0:
            found, _ = read_concepts(data, starts[now], stops[now], tables, phrase, tagged, scratch)
            if size + found > listed.shape[0]:
                return now, size
            for k in range(found):
                listed[size + k] = scratch.concepts[k]
            size += found
        ends[now] = size
    return starts.shape[0], size
