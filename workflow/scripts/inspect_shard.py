from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.captions.manifest import inspect_shard
    from contrastive_concepts.captions.shards import Shard

    asked = snakemake.params
    # A storage plugin puts its copy at another path; the record keeps the shard's name from the config.
    shard = Shard(snakemake.wildcards.shard, *(snakemake.input or [asked.path]))
    record = inspect_shard(shard, asked.layout, asked.column, asked.on_bad_shard, asked.checksum)
    record = record.model_copy(update={"path": asked.path})
    print(record.skipped or f"{record.rows} captions in {record.path}")
    Path(snakemake.output[0]).write_text(record.model_dump_json(indent=2) + "\n")
