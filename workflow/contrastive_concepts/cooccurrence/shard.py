"""Count one shard: pass its captions through the matching kernel."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pyarrow as pa
from scipy import sparse

from contrastive_concepts.captions.formats import read_captions
from contrastive_concepts.captions.manifest import ShardRecord, check_unchanged
from contrastive_concepts.checks import require
from contrastive_concepts.errors import UserError
from contrastive_concepts.matching.counting import CaptionStatistics, CooccurrenceCounter
from contrastive_concepts.matching.lexicon import Lexicon

Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


def count_shard(
    record: ShardRecord,
    lexicon: Lexicon,
    max_caption_bytes: int,
    duplicates: Rows,
    on_bad_shard: Literal["fail", "skip"],
    least_usable: float | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> tuple[sparse.csr_array, dict[str, int | str | None]]:
    """X of one shard, and its statistics: rows, null, empty, invalid_utf8, gigantic, duplicates, ...

    `duplicates`: numbers of rows to leave out, ascending. `least_usable`: least share of captions that are text, if
    any. A shard that fails midway or has too little text adds no counts: it raises UserError or, if `on_bad_shard` is
    skip, is reported as skipped.
    """
    counter = CooccurrenceCounter(lexicon, max_caption_bytes)
    skipped = record.skipped
    if not skipped:
        try:
            check_unchanged(record)
            first = 0
            for batch in read_captions(record.path, record.layout, record.column):
                counter.add(_without(batch, first, duplicates))
                first += len(batch)
                progress(first)
            check_unchanged(record)
            if least_usable is not None and record.has_text:
                _require_usable(record, counter.statistics, len(duplicates), least_usable)
        except UserError as error:
            if on_bad_shard == "fail":
                raise
            skipped, counter = str(error), CooccurrenceCounter(lexicon, max_caption_bytes)
    statistics = counter.statistics.as_dict()
    left_out = 0 if skipped else len(duplicates)
    return counter.matrix(), {"shard": record.shard, **statistics, "duplicates": left_out, "skipped": skipped}


def _require_usable(record: ShardRecord, found: CaptionStatistics, duplicates: int, least: float) -> None:
    unusable = {name: getattr(found, name) for name in ("null", "empty", "invalid_utf8", "gigantic")}
    # A repeated caption was usable where it was met first.
    usable = max(found.rows - sum(unusable.values()), 0) + duplicates
    column = "" if record.column is None else f", column {record.column!r}"
    met = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in unusable.items() if count)
    require(usable, found.rows + duplicates, least, f"{record.path}{column}: usable captions", "usable_captions", met)


def _without(batch: pa.Array, first: int, duplicates: Rows) -> pa.Array:
    low, high = np.searchsorted(duplicates, [first, first + len(batch)])
    if low == high:
        return batch
    keep = np.ones(len(batch), bool)
    keep[duplicates[low:high] - first] = False
    return batch.filter(pa.array(keep))
