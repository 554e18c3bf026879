from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.similarity.semantic import measure_candidates
    from contrastive_concepts.similarity.store import load_embeddings

    candidates = pl.read_parquet(snakemake.input.candidates)
    measured = measure_candidates(candidates, load_embeddings(snakemake.input.vectors), snakemake.params.delta)
    print(f"{measured['similar'].sum()} of {measured.height} candidates are too similar")
    measured.write_parquet(snakemake.output[0])
