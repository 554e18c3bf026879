from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.captions.concept_index import read_index
    from contrastive_concepts.cooccurrence.incidence import count_index
    from contrastive_concepts.cooccurrence.matrix import save_matrix

    index, numbers = read_index(Path(snakemake.input.index).parent)
    concepts = pl.read_parquet(snakemake.input.concepts)
    matrix = count_index(index, numbers, concepts, snakemake.params.mode, snakemake.params.block_captions)
    save_matrix(snakemake.output.matrix, matrix)
    concepts.with_columns(pl.Series("count", matrix.diagonal(), pl.Int64)).write_parquet(snakemake.output.concepts)
