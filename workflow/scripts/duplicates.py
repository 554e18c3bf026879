import tempfile
from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.captions.duplicates import find_duplicates
    from contrastive_concepts.captions.manifest import read_records

    with tempfile.TemporaryDirectory(dir=Path(snakemake.output[0]).parent) as scratch:
        records = read_records(snakemake.input.records, snakemake.input.shards)
        duplicates = find_duplicates(records, Path(scratch))
    duplicates.write_parquet(snakemake.output[0])
    print(f"{duplicates.height} repeated captions")
