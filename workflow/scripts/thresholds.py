from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.config.selection import SelectionSettings
    from contrastive_concepts.report.thresholds import draw_thresholds, mean_lengths
    from contrastive_concepts.selection.select import Tables, Thresholds

    params, files = snakemake.params, snakemake.input
    settings = SelectionSettings.model_validate(params.selection)
    thresholds = Thresholds.of(settings, params.corpus, params.unparsed)
    lengths = mean_lengths(Tables.read(files), thresholds)
    print(lengths)
    lengths.write_csv(snakemake.output.table)
    sweeps = pl.read_parquet(files.sweeps) if files.sweeps else pl.DataFrame(schema={"threshold": pl.String})
    used_values = {"gamma": thresholds.gamma, "delta": settings.delta, "beta": settings.beta}
    draw_thresholds(lengths, sweeps, used_values, Path(snakemake.output.figure))
