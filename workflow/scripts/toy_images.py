from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.toyworld.corpus import write_images

    write_images(Path(snakemake.output[0]), snakemake.params.images, snakemake.params.seed)
