from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.matching.counting import compile_kernel
    from contrastive_concepts.matching.lexicon import Lexicon

    concepts = pl.read_parquet(snakemake.input[0])["concept"].to_list()
    settings = snakemake.params
    lexicon = Lexicon.build(concepts, settings.mode, settings.nouns, settings.tagger)
    lexicon.save(snakemake.output[0])
    # Here once, not in each of the jobs that count at the same time.
    compile_kernel(lexicon)
