from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.captions.manifest import inspect_shard
    from contrastive_concepts.captions.shards import Shard

    asked = snakemake.params
    shard = Shard(snakemake.wildcards.shard, asked.path)
    record = inspect_shard(shard, asked.layout, asked.column, asked.on_bad_shard, asked.checksum)
    print(record.skipped or f"{record.rows} captions in {record.path}")
    Path(snakemake.output[0]).write_text(record.model_dump_json(indent=2) + "\n")
