import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from contrastive_concepts.logs import job_log, progress_bar

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.captions.manifest import Inspection, RecordBatch, inspect_batch
    from contrastive_concepts.captions.shards import Shard, in_job
    from contrastive_concepts.cooccurrence.batch import count_batch
    from contrastive_concepts.cooccurrence.matrix import merge_shards, save_matrix
    from contrastive_concepts.matching.lexicon import Lexicon

    asked, files = snakemake.params, snakemake.input
    shards = [Shard(*each) for each in asked.shards]
    if files.records:
        batch = RecordBatch.read(files.records)
    else:
        path = Path(snakemake.output.records)
        batch = inspect_batch(
            shards, files.shards, Inspection(**asked.inspection, code=asked.code), path, snakemake.threads
        )
        batch.save(path)
    duplicates = None
    if files.duplicates:
        ids = [shard.shard for shard in shards]
        duplicates = pl.scan_parquet(files.duplicates).filter(pl.col("shard").is_in(ids)).collect()
    lexicon = Lexicon.load(files.lexicon)
    # One changed shard is counted alone: the others' counts stay if they depend on the same.
    common = {
        "lexicon": hashlib.sha256(Path(files.lexicon).read_bytes()).hexdigest(),
        "max_caption_bytes": asked.max_caption_bytes,
        "least_usable": asked.least_usable,
        "code": asked.code,
    }
    rows = sum(record.rows for record in batch.records)
    # With a storage provider nothing but outputs outlives the job.
    with TemporaryDirectory() as scratch, progress_bar("matching", rows) as progress:
        counted = count_batch(
            batch.records,
            [shard.path for shard in in_job(shards, files.shards)],
            lexicon,
            asked.max_caption_bytes,
            asked.on_bad_shard,
            asked.least_usable,
            duplicates,
            Path(asked.kept or scratch),
            common,
            snakemake.threads,
            progress,
        )
        for each in counted:
            print(each.statistics)
        settings = lexicon.settings | {"max_caption_bytes": asked.max_caption_bytes}
        matrix = merge_shards([each.matrix for each in counted], len(lexicon.concepts))
        save_matrix(snakemake.output.matrix, matrix, settings, compressed=False)
    Path(snakemake.output.statistics).write_text(json.dumps([each.statistics for each in counted], indent=2) + "\n")
