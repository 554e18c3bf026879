from contrastive_concepts.logs import job_log, progress_bar

with job_log(snakemake.log[0]):
    import polars as pl
    from pydantic import TypeAdapter

    from contrastive_concepts.config.similarity import SimilaritySettings
    from contrastive_concepts.similarity.encoders import build_encoder
    from contrastive_concepts.similarity.ensemble import embed
    from contrastive_concepts.similarity.store import describe_encoder, save_embeddings

    settings = TypeAdapter(SimilaritySettings).validate_python(snakemake.params.encoder)
    concepts = pl.read_parquet(snakemake.input[0])["concept"].to_list()
    encoder = build_encoder(settings)
    with progress_bar("embedding", len(concepts)) as progress:
        vectors = embed(concepts, encoder, settings.templates, progress)
    description = describe_encoder(encoder, settings.templates, settings.model_dump())
    print(description)
    save_embeddings(snakemake.output.vectors, snakemake.output.encoder, vectors, description)
