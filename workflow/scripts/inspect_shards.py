from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.captions.manifest import Inspection, inspect_batch
    from contrastive_concepts.captions.shards import Shard

    asked = snakemake.params
    shards = [Shard(*each) for each in asked.shards]
    inspection = Inspection(**asked.inspection, code=asked.code)
    path = Path(snakemake.output[0])
    batch = inspect_batch(shards, snakemake.input, inspection, path, snakemake.threads)
    for record in batch.records:
        print(record.skipped or f"{record.rows} captions in {record.path}")
    batch.save(path)
