from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.captions.release import read_release
    from contrastive_concepts.cooccurrence.matrix import save_matrix
    from contrastive_concepts.cooccurrence.released import released_matrix

    release = read_release(Path(snakemake.input.release))
    concepts = pl.read_parquet(snakemake.input.concepts)
    matrix = released_matrix(release.matrix, release.concepts, concepts, snakemake.params.mode)
    save_matrix(snakemake.output.matrix, matrix)
    concepts.with_columns(pl.Series("count", matrix.diagonal(), pl.Int64)).write_parquet(snakemake.output.concepts)
