from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.matching.counting import compile_kernel
    from contrastive_concepts.matching.lexicon import Lexicon

    settings = snakemake.params
    # What is compiled depends on the kind of lexicon, not on its concepts.
    compile_kernel(Lexicon.build(["caption"], settings.mode, settings.nouns, settings.tagger))
