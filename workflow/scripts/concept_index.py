from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.captions.concept_index import import_index

    import_index(snakemake.input[0], Path(snakemake.output.concepts).parent)
