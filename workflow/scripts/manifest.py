import sys

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.captions.manifest import manifest, read_records

    table = manifest(read_records(snakemake.input), snakemake.params.least)
    for path, reason in table.drop_nulls("skipped").select("path", "skipped").iter_rows():
        print(f"Skipped shard {path}: {reason}", file=sys.stderr)
    table.write_parquet(snakemake.output[0])
