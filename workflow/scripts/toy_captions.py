from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.toyworld.corpus import write_captions

    shards = list(snakemake.output)
    write_captions(Path(shards[0]).parent, snakemake.params.captions, len(shards), snakemake.params.seed)
