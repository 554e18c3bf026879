from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.matching.lexicon import Lexicon

    concepts = pl.read_parquet(snakemake.input[0])["concept"].to_list()
    settings = snakemake.params
    Lexicon.build(concepts, settings.mode, settings.nouns, settings.tagger).save(snakemake.output[0])
