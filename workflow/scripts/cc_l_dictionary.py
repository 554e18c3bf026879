from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.config.load import parse_config
    from contrastive_concepts.dictionary.written import build_written_dictionary
    from contrastive_concepts.encoders.text import build_encoder
    from contrastive_concepts.similarity.ensemble import embed
    from contrastive_concepts.similarity.store import describe_encoder

    settings = parse_config(snakemake.params.settings)
    table = pl.read_parquet(snakemake.input[0])
    lists = dict(table.select("concept", "names").iter_rows())
    encoder = build_encoder(settings.similarity)
    templates = settings.similarity.templates
    manifest = build_written_dictionary(
        Path(snakemake.output[0]).parent,
        settings,
        lists,
        writer={name: table[name].unique().to_list() for name in ("judge", "model", "revision", "prompt_hash")},
        embeddings=embed(list(lists), encoder, templates),
        encoder=describe_encoder(encoder, templates, settings.similarity.model_dump()),
    )
    print(manifest.counts)
