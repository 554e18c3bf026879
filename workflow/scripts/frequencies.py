from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.report.frequencies import draw_frequencies

    table = pl.read_parquet(snakemake.input[0], columns=["concept", "count"])
    print(f"rank of background: {draw_frequencies(dict(table.iter_rows()), Path(snakemake.output[0]))}")
