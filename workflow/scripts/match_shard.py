import json
from pathlib import Path

from contrastive_concepts.logs import job_log, progress_bar

with job_log(snakemake.log[0]):
    import numpy as np
    import polars as pl

    from contrastive_concepts.captions.manifest import read_records
    from contrastive_concepts.cooccurrence.matrix import save_matrix
    from contrastive_concepts.cooccurrence.shard import count_shard
    from contrastive_concepts.matching.lexicon import Lexicon

    [record] = read_records([snakemake.input.record], snakemake.input.shard)
    duplicates = np.empty(0, np.int64)
    if snakemake.input.duplicates:
        rows = pl.scan_parquet(snakemake.input.duplicates).filter(pl.col("shard") == record.shard)
        duplicates = rows.select("row").collect()["row"].to_numpy()
    lexicon = Lexicon.load(snakemake.input.lexicon)
    with progress_bar(f"matching {record.shard}", record.rows) as progress:
        matrix, statistics = count_shard(
            record,
            lexicon,
            snakemake.params.max_caption_bytes,
            duplicates,
            snakemake.params.on_bad_shard,
            snakemake.params.least_usable,
            progress,
        )
    print(statistics)
    settings = lexicon.settings | {"max_caption_bytes": snakemake.params.max_caption_bytes}
    save_matrix(snakemake.output.matrix, matrix, settings)
    Path(snakemake.output.statistics).write_text(json.dumps(statistics, indent=2) + "\n")
