from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.config.selection import SelectionSettings
    from contrastive_concepts.dictionary.manifest import read_manifest
    from contrastive_concepts.evaluation.datasets import DatasetDescription
    from contrastive_concepts.report.frequencies import draw_frequencies
    from contrastive_concepts.report.funnel import draw_funnel, funnel
    from contrastive_concepts.report.lengths import draw_lengths, list_lengths
    from contrastive_concepts.report.thresholds import draw_thresholds, mean_lengths
    from contrastive_concepts.selection.select import Tables, Thresholds

    params, files, outputs = snakemake.params, snakemake.input, snakemake.output
    folder = Path(files.dictionary[0]).parent
    steps = funnel(read_manifest(folder).counts)
    print(steps)
    draw_funnel(steps, Path(outputs.funnel))
    kept = pl.read_parquet(folder / "contrastive_concepts.parquet", columns=["concept"])
    concepts = pl.read_parquet(folder / "concepts.parquet", columns=["concept"])
    draw_lengths(list_lengths(concepts, kept), Path(outputs.lengths))

    settings = SelectionSettings.model_validate(params.selection)
    thresholds = Thresholds.of(settings, params.corpus, params.unparsed)
    lengths = mean_lengths(Tables.read(files), thresholds)
    print(lengths)
    lengths.write_csv(outputs.table)
    sweeps = pl.read_parquet(files.sweeps) if files.sweeps else pl.DataFrame(schema={"threshold": pl.String})
    used_values = {"gamma": thresholds.gamma, "delta": settings.delta, "beta": settings.beta}
    draw_thresholds(lengths, sweeps, used_values, Path(outputs.thresholds))

    counts = dict(pl.read_parquet(files.concepts).select("concept", "count").iter_rows())
    for described, figure in zip(files.datasets, outputs.frequencies, strict=True):
        description = DatasetDescription.model_validate_json(Path(described).read_bytes())
        shown = draw_frequencies(counts, description.query_names, Path(figure))
        print(f"{len(shown)} names: {', '.join(f'{name} {count}' for name, count in shown)}")
