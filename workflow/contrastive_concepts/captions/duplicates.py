"""Repeated captions: which rows to leave out so that each text counts once."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa

from contrastive_concepts.captions.formats import read_captions
from contrastive_concepts.captions.manifest import ShardRecord

SCHEMA = pa.schema([("shard", pa.int32()), ("row", pa.int64()), ("caption", pa.binary())])


def find_duplicates(records: Sequence[ShardRecord], scratch: Path, memory: str = "2GB") -> pl.DataFrame:
    """Every row with the same text as an earlier row of this or an earlier shard: columns shard, row.

    Texts are compared by a 128-bit hash in DuckDB, which uses at most `memory` and spills to the folder `scratch`.
    """
    with duckdb.connect(config={"memory_limit": memory, "temp_directory": str(scratch), "threads": 2}) as database:
        database.register("captions", pa.RecordBatchReader.from_batches(SCHEMA, _rows(records)))
        # The bytes are hashed as hexadecimal text: DuckDB's md5 takes text, and captions can be invalid UTF-8.
        found = database.execute(
            """
            with texts as (select shard, row, md5_number(hex(caption)) as text from captions),
            numbered as (
                select shard, row, row_number() over (partition by text order by shard, row) as copy from texts
            )
            select shard, row from numbered where copy > 1 order by shard, row
            """
        ).fetchnumpy()
    names = pl.Series("name", [record.shard for record in records], pl.String)
    return pl.DataFrame(
        {
            "shard": names.gather(pl.Series(found["shard"], dtype=pl.UInt32)),
            "row": pl.Series(found["row"], dtype=pl.Int64),
        }
    )


def _rows(records: Sequence[ShardRecord]) -> Iterator[pa.RecordBatch]:
    for number, record in enumerate(records):
        if record.skipped:
            continue
        first = 0
        for batch in read_captions(record.path, record.layout, record.column):
            rows = pa.array(range(first, first + len(batch)), pa.int64())
            shard = pa.array([number] * len(batch), pa.int32())
            first += len(batch)
            table = pa.RecordBatch.from_arrays([shard, rows, batch.cast(pa.binary())], schema=SCHEMA)
            yield table.filter(batch.is_valid())
