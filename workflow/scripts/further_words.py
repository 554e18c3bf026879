from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.captions.manifest import check_captions, read_records
    from contrastive_concepts.vocabulary.mining import further_words

    records = read_records(snakemake.input.records, snakemake.input.shards)
    check_captions(records)
    concepts = pl.read_parquet(snakemake.input.concepts)
    words = further_words(records, concepts, snakemake.params.size, snakemake.params.mode, snakemake.threads)
    print(f"{words.height} further words")
    words.write_parquet(snakemake.output[0])
