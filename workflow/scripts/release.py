from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.captions.release import read_release

    names = read_release(Path(snakemake.input[0])).concepts
    pl.DataFrame({"concept": names}).write_parquet(snakemake.output[0])
