from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.toyworld.corpus import write_captions

    shards, asked = list(snakemake.output), snakemake.params
    write_captions(Path(shards[0]).parent, asked.captions, len(shards), asked.seed, snakemake.threads)
