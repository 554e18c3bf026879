"""A record for each shard: rows, size and checksum. The manifest of the corpus is the table of these records."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import fsspec
import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from contrastive_concepts.captions.files import reachable, size_and_version
from contrastive_concepts.captions.formats import count_captions, detect_format, find_column
from contrastive_concepts.captions.shards import Shard, in_job
from contrastive_concepts.checks import require
from contrastive_concepts.credentials import reveal
from contrastive_concepts.errors import UserError


class ShardRecord(BaseModel):
    """One row of the manifest. A skipped shard has a reason and no rows. `has_text`: False if all captions are known to
    be null."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shard: str
    path: str
    layout: str
    column: str | int | None
    rows: int
    has_text: bool
    bytes: int
    modified: str
    sha256: str | None
    skipped: str | None


class Inspection(BaseModel):
    """How shards are inspected (`ShardCaptions`), and a hash of the code that does it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: str = "auto"
    column: str | int | None = None
    on_bad_shard: Literal["fail", "skip"] = "fail"
    checksum: Literal["auto", "sha256", "stat"] = "auto"
    code: str = ""


class RecordBatch(BaseModel):
    """The records of a job's shards, in a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inspection: Inspection
    records: list[ShardRecord]

    @classmethod
    def read(cls, path: str | Path) -> "RecordBatch":
        return cls.model_validate_json(Path(path).read_bytes())

    def save(self, path: Path) -> None:
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(self.model_dump_json(indent=2) + "\n")
        os.replace(unfinished, path)


def inspect_shard(
    shard: Shard,
    layout: str = "auto",
    column: str | int | None = None,
    on_bad_shard: Literal["fail", "skip"] = "fail",
    checksum: Literal["auto", "sha256", "stat"] = "auto",
) -> ShardRecord:
    """Inspect one shard. An unreadable one raises UserError or, if `on_bad_shard` is skip, is recorded with the reason.

    `checksum` auto computes the sha256 of local files only. For a URL it would fetch the whole file, not only captions.
    """
    try:
        size, modified = size_and_version(shard.path)
        layout = detect_format(shard.path) if layout == "auto" else layout
        found = find_column(shard.path, layout, column)
        counted = count_captions(shard.path, layout, found)
        if counted.rows and not counted.has_text and not counted.untyped:
            where = "" if found is None else f" in column {found!r}"
            raise UserError(
                f"{shard.path}: each of its {counted.rows:,} captions{where} is null, empty or no UTF-8, expected text "
                f"(read as {layout}; captions.format, captions.column)"
            )
        digest = _sha256(shard.path) if checksum == "sha256" or (checksum == "auto" and shard.is_local) else None
        return ShardRecord(
            shard=shard.shard,
            path=shard.path,
            layout=layout,
            column=found,
            rows=counted.rows,
            has_text=counted.has_text and counted.rows > 0,
            bytes=size,
            modified=modified,
            sha256=digest,
            skipped=None,
        )
    except UserError as error:
        if on_bad_shard == "fail":
            raise
        return ShardRecord(
            shard=shard.shard,
            path=shard.path,
            layout=layout,
            column=None,
            rows=0,
            has_text=False,
            bytes=0,
            modified="",
            sha256=None,
            skipped=str(error),
        )


def inspect_batch(
    shards: Sequence[Shard], files: Sequence[str], inspection: Inspection, path: Path, threads: int = 1
) -> RecordBatch:
    """Inspect several shards, some at a time, except those whose record in `path` still holds.

    files: paths in this job of the shards that are local; the records keep the shards' own."""
    known: dict[str, ShardRecord] = {}
    try:
        before = RecordBatch.read(path)
    except (OSError, ValidationError):
        before = None
    if before is not None and before.inspection == inspection:
        known = {record.shard: record for record in before.records if not record.skipped}

    def inspect(shard: Shard, placed: Shard) -> ShardRecord:
        record = known.get(shard.shard)
        same = record is not None and record.path == shard.path
        if record is not None and same and is_unchanged(record.model_copy(update={"path": placed.path})):
            return record
        asked = inspection
        record = inspect_shard(placed, asked.layout, asked.column, asked.on_bad_shard, asked.checksum)
        return record.model_copy(update={"path": shard.path})

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        return RecordBatch(inspection=inspection, records=list(pool.map(inspect, shards, in_job(shards, files))))


def check_unchanged(record: ShardRecord) -> None:
    """Raises UserError if the shard has changed since it was inspected."""
    size, modified = size_and_version(record.path)
    if (size, modified) != (record.bytes, record.modified):
        raise UserError(
            f"{record.path}: changed during the run (found {size} bytes of {modified}, "
            f"expected {record.bytes} bytes of {record.modified})"
        )


def is_unchanged(record: ShardRecord) -> bool:
    """Whether `check_unchanged` finds the shard as it was."""
    try:
        check_unchanged(record)
    except UserError:
        return False
    return True


def found_at(record: ShardRecord, path: str) -> ShardRecord:
    """The record with the shard's path in this job: a storage's copy has another path and modification time."""
    if path == record.path:
        return record
    return record.model_copy(update={"path": path, "modified": size_and_version(path)[1]})


def read_records(paths: Sequence[str], shards: Sequence[str] = ()) -> list[ShardRecord]:
    """Read the records of all batches, with the current paths of the shards, or as recorded if there are none."""
    records = [record for path in paths for record in RecordBatch.read(path).records]
    return [found_at(*placed) for placed in zip(records, shards, strict=True)] if shards else records


def check_captions(records: Sequence[ShardRecord]) -> None:
    """Raises UserError if no shard is readable, or if no readable shard has a caption."""
    read = [record for record in records if not record.skipped]
    if not read and records:
        raise UserError(f"none of the {len(records)} shards is readable; the first: {records[0].skipped}")
    if read and not any(record.has_text for record in read):
        rows = sum(record.rows for record in read)
        raise UserError(
            f"{read[0].path}: found no caption in any of the {len(read)} shards: {rows:,} rows, each of them null "
            "(captions.shards, captions.column)"
        )


def manifest(records: Sequence[ShardRecord], least: float = 0.0) -> pl.DataFrame:
    """The manifest of the corpus, one row for each shard.

    Raises UserError if no shard or a smaller share than `least` is readable, or if no readable shard has a caption.
    """
    check_captions(records)
    skipped = [record.skipped for record in records if record.skipped]
    first = f"the first one skipped: {skipped[0]}" if skipped else ""
    require(len(records) - len(skipped), len(records), least, "readable shards", "readable_shards", first)
    rows = [
        record.model_dump(exclude={"has_text"}) | {"column": None if record.column is None else str(record.column)}
        for record in records
    ]
    schema = {
        "shard": pl.String,
        "path": pl.String,
        "layout": pl.String,
        "column": pl.String,
        "rows": pl.Int64,
        "bytes": pl.Int64,
        "modified": pl.String,
        "sha256": pl.String,
        "skipped": pl.String,
    }
    return pl.DataFrame(rows, schema=schema)


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with reachable(path), fsspec.open(reveal(path), "rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
