import json
from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.config.load import parse_config
    from contrastive_concepts.dictionary.build import build_dictionary
    from contrastive_concepts.selection.select import Selection
    from contrastive_concepts.similarity.store import load_embeddings

    files = snakemake.input
    manifest = build_dictionary(
        Path(snakemake.output[0]).parent,
        parse_config(snakemake.params.settings),
        Selection.load(Path(files.selection[0]).parent),
        verdicts=pl.read_parquet(files.verdicts),
        embeddings=load_embeddings(files.vectors),
        encoder=json.loads(Path(files.encoder).read_text()),
        shards=pl.read_parquet(files.manifest) if files.manifest else None,
        statistics=pl.read_parquet(files.statistics) if files.statistics else None,
        encoder_folder=Path(files.encoder).parent,
    )
    print(manifest.counts)
