"""Counts the shards of a batch at the same time. What was counted stays on disk by shard."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from contrastive_concepts.captions.manifest import ShardRecord, found_at, is_unchanged
from contrastive_concepts.cooccurrence.matrix import save_matrix
from contrastive_concepts.cooccurrence.shard import Rows, count_shard
from contrastive_concepts.matching.lexicon import Lexicon

Statistics = dict[str, int | str | None]


@dataclass(frozen=True)
class CountedShard:
    """The file of a shard's X, and the shard's statistics (`count_shard`)."""

    matrix: Path
    statistics: Statistics


class _Task(NamedTuple):
    """A shard that is to be counted, and where its X goes."""

    record: ShardRecord
    path: str
    duplicates: Rows
    matrix: Path
    fingerprint: str


def count_batch(
    records: Sequence[ShardRecord],
    paths: Sequence[str],
    lexicon: Lexicon,
    max_caption_bytes: int,
    on_bad_shard: Literal["fail", "skip"],
    least_usable: float | None,
    duplicates: pl.DataFrame | None,
    folder: Path,
    common: Mapping[str, object],
    threads: int = 1,
    progress: Callable[[int], None] = lambda rows: None,
) -> list[CountedShard]:
    """Count several shards, in the order of the records. The shards' files go to `folder`.

    paths: those of the shards in this job. duplicates: columns `shard` and `row`, rows to leave out. common: what all
    counts depend on, as plain data; a shard that was counted with the same is not counted again. progress: receives
    the number of captions so far. Raises UserError as `count_shard`; what other shards gave stays on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = lexicon.settings | {"max_caption_bytes": max_caption_bytes}

    def count(task: _Task, progress: Callable[[int], None]) -> CountedShard:
        matrix, statistics = count_shard(
            found_at(task.record, task.path),
            lexicon,
            max_caption_bytes,
            task.duplicates,
            on_bad_shard,
            least_usable,
            progress,
        )
        description = task.matrix.with_suffix(".json")
        # First, so that a job that is killed here leaves no description of the other matrix.
        description.unlink(missing_ok=True)
        unfinished = task.matrix.with_suffix(".unfinished.npz")
        # Compressing takes a quarter of the time of counting, for a file that only the next job reads.
        save_matrix(unfinished, matrix, settings, compressed=False)
        os.replace(unfinished, task.matrix)
        described = {"fingerprint": task.fingerprint, "statistics": statistics}
        unfinished = task.matrix.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(described, indent=2) + "\n")
        os.replace(unfinished, description)
        return CountedShard(task.matrix, statistics)

    done: dict[str, CountedShard] = {}
    tasks: list[_Task] = []
    for record, path in zip(records, paths, strict=True):
        rows = np.empty(0, np.int64)
        if duplicates is not None:
            rows = duplicates.filter(pl.col("shard") == record.shard)["row"].to_numpy()
        fingerprint = fingerprint_of(record, rows, common)
        matrix = folder / f"{record.shard}.npz"
        known = _counted_before(matrix, fingerprint)
        # `count_shard` refuses a shard that has changed since it was inspected, or skips it.
        if known is None or not is_unchanged(found_at(record, path)):
            tasks.append(_Task(record, path, rows, matrix, fingerprint))
        else:
            done[record.shard] = known
    # The longest first, so that no core waits for it in the end.
    tasks.sort(key=lambda task: -task.record.rows)
    together = _Together(progress, sum(int(each.statistics["rows"] or 0) for each in done.values()))
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        futures = [pool.submit(count, task, together.of(task.record.shard)) for task in tasks]
        try:
            done |= {task.record.shard: future.result() for task, future in zip(tasks, futures, strict=True)}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [done[record.shard] for record in records]


def fingerprint_of(record: ShardRecord, duplicates: Rows, common: Mapping[str, object]) -> str:
    """Hash of all that a shard's counts depend on."""
    content: dict[str, Any] = {"record": record.model_dump(), "common": dict(common)}
    content["duplicates"] = hashlib.sha256(duplicates.tobytes()).hexdigest()
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


class _Together:
    """Adds up the progress of several shards."""

    def __init__(self, progress: Callable[[int], None], before: int) -> None:
        self._progress, self._rows, self._lock = progress, {"": before}, Lock()

    def of(self, shard: str) -> Callable[[int], None]:
        def progress(rows: int) -> None:
            with self._lock:
                self._rows[shard] = rows
                self._progress(sum(self._rows.values()))

        return progress


def _counted_before(matrix: Path, fingerprint: str) -> CountedShard | None:
    try:
        described = json.loads(matrix.with_suffix(".json").read_text())
        if described["fingerprint"] != fingerprint or not matrix.is_file() or described["statistics"]["skipped"]:
            return None
        return CountedShard(matrix, described["statistics"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
