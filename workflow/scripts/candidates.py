from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.cooccurrence.candidates import find_candidates
    from contrastive_concepts.cooccurrence.matrix import load_matrix

    concepts = pl.read_parquet(snakemake.input.concepts)["concept"].to_list()
    matrix = load_matrix(snakemake.input.matrix)
    candidates = find_candidates(matrix, concepts, snakemake.params.gamma, snakemake.params.stoplist)
    print(f"{candidates.height} candidates of {len(concepts)} concepts")
    candidates.write_parquet(snakemake.output[0])
