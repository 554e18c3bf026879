import json
from pathlib import Path
from tempfile import TemporaryDirectory

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.config.load import parse_config
    from contrastive_concepts.dictionary.written import build_written_dictionary
    from contrastive_concepts.encoders.configured import build_encoder
    from contrastive_concepts.similarity.ensemble import embed_concepts
    from contrastive_concepts.similarity.store import load_embeddings

    settings = parse_config(snakemake.params.settings)
    table = pl.read_parquet(snakemake.input[0])
    lists = dict(table.select("concept", "names").iter_rows())
    # No captions, no further words from them.
    similarity = settings.similarity.model_copy(update={"further_words": 0})
    with TemporaryDirectory() as folder:
        vectors, described = Path(folder, "embeddings.npy"), Path(folder, "encoder.json")
        embed_concepts(list(lists), build_encoder(similarity), similarity, vectors, described)
        manifest = build_written_dictionary(
            Path(snakemake.output[0]).parent,
            settings,
            lists,
            writer={name: table[name].unique().to_list() for name in ("judge", "model", "revision", "prompt_hash")},
            embeddings=load_embeddings(vectors),
            encoder=json.loads(described.read_text()),
            encoder_folder=Path(folder),
        )
    print(manifest.counts)
