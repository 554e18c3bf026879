import tempfile
from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.captions.duplicates import find_duplicates
    from contrastive_concepts.captions.manifest import ShardRecord

    with tempfile.TemporaryDirectory(dir=Path(snakemake.output[0]).parent) as scratch:
        duplicates = find_duplicates([ShardRecord.read(path) for path in snakemake.input], Path(scratch))
    duplicates.write_parquet(snakemake.output[0])
    print(f"{duplicates.height} repeated captions")
