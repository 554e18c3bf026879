from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.config.toyworld import ToyTraining
    from contrastive_concepts.toyworld.train import train

    train(ToyTraining(**snakemake.params.settings), Path(snakemake.output[0]).parent)
