from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.dictionary.manifest import read_manifest
    from contrastive_concepts.report.funnel import draw_funnel, funnel
    from contrastive_concepts.report.lengths import draw_lengths, list_lengths

    folder = Path(snakemake.input[0]).parent
    steps = funnel(read_manifest(folder).counts)
    print(steps)
    draw_funnel(steps, Path(snakemake.output.funnel))
    kept = pl.read_parquet(folder / "contrastive_concepts.parquet", columns=["concept"])
    concepts = pl.read_parquet(folder / "concepts.parquet", columns=["concept"])
    draw_lengths(list_lengths(concepts, kept), Path(snakemake.output.lengths))
