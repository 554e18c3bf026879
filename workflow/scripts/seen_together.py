from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.cooccurrence.matrix import load_matrix
    from contrastive_concepts.evaluation.absent import seen_together

    files = snakemake.input
    row_of = dict(pl.read_parquet(files.concepts).select("concept", "concept_id").iter_rows())
    table = seen_together(pl.read_parquet(files.queries), row_of, load_matrix(Path(files.matrix)))
    print(table.sort("frequency", descending=True))
    table.write_parquet(snakemake.output[0])
