from contrastive_concepts.logs import job_log, progress_bar

with job_log(snakemake.log[0]):
    import polars as pl
    from pydantic import TypeAdapter

    from contrastive_concepts.config.similarity import SimilaritySettings
    from contrastive_concepts.encoders.configured import build_encoder
    from contrastive_concepts.similarity.ensemble import embed_concepts

    settings = TypeAdapter(SimilaritySettings).validate_python(snakemake.params.encoder)
    concepts = pl.read_parquet(snakemake.input[0])["concept"].to_list()
    encoder = build_encoder(settings)
    with progress_bar("embedding", len(concepts)) as progress:
        embed_concepts(
            concepts,
            encoder,
            settings,
            snakemake.output.vectors,
            snakemake.output.encoder,
            progress,
            pl.read_parquet(snakemake.input.further)["concept"].to_list() if snakemake.input.further else (),
        )
