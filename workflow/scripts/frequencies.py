from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.evaluation.datasets import DatasetDescription
    from contrastive_concepts.report.frequencies import draw_frequencies

    description = DatasetDescription.model_validate_json(Path(snakemake.input.dataset).read_bytes())
    counts = dict(pl.read_parquet(snakemake.input.concepts).select("concept", "count").iter_rows())
    shown = draw_frequencies(counts, description.query_names, Path(snakemake.output[0]))
    print(f"{len(shown)} names: {', '.join(f'{name} {count}' for name, count in shown)}")
