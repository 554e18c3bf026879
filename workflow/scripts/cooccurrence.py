import json
import sys
from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.cooccurrence.matrix import count_captions, merge_shards, require_matched, save_matrix

    concepts = pl.read_parquet(snakemake.input.concepts)
    matrix = merge_shards(snakemake.input.matrices, concepts.height)
    save_matrix(snakemake.output.matrix, matrix)
    concepts.with_columns(pl.Series("count", matrix.diagonal(), pl.Int64)).write_parquet(snakemake.output.concepts)
    statistics = pl.DataFrame(
        [of_shard for path in snakemake.input.statistics for of_shard in json.loads(Path(path).read_text())],
        schema_overrides={"skipped": pl.String},
    )
    for shard, reason in statistics.drop_nulls("skipped").select("shard", "skipped").iter_rows():
        print(f"Skipped shard {shard}: {reason}", file=sys.stderr)
    require_matched(count_captions(statistics), statistics["matched"].sum(), snakemake.params.least)
    statistics.write_parquet(snakemake.output.statistics)
