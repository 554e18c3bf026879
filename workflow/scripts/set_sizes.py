from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.evaluation.contrastive_sets import load_set
    from contrastive_concepts.evaluation.datasets import DatasetDescription
    from contrastive_concepts.report.set_sizes import mean_size, set_sizes

    sizes = {}
    files = snakemake.input
    for (dataset, name), described, path in zip(snakemake.params.places, files.datasets, files.sets, strict=True):
        description = DatasetDescription.model_validate_json(Path(described).read_bytes())
        sizes[dataset, name] = mean_size(load_set(Path(path)), description.query_names)
    table = set_sizes(pl.read_parquet(files.scores), sizes)
    print(table)
    table.write_csv(snakemake.output[0], float_precision=2)
