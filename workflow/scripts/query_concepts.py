from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts import ContrastiveConcepts
    from contrastive_concepts.evaluation.datasets import DatasetDescription

    description = DatasetDescription.model_validate_json(Path(snakemake.input.dataset).read_bytes())
    dictionary = ContrastiveConcepts.load(Path(snakemake.input.dictionary[0]).parent, background=False)
    matches = dictionary.lookup(description.query_names)
    fields = ("query", "concept", "similarity", "far", "contrastive_concepts")
    table = pl.DataFrame({name: [getattr(match, name) for match in matches] for name in fields})
    print(table.filter(pl.col("query") != pl.col("concept")))
    table.write_parquet(snakemake.output[0])
