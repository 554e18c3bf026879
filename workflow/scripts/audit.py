from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.config.visibility import AuditSettings
    from contrastive_concepts.visibility.audit import audit, write_audit

    files = snakemake.output
    table, sections = audit(
        pl.read_parquet(snakemake.input.verdicts),
        snakemake.params.threshold,
        AuditSettings.model_validate(snakemake.params.settings),
        snakemake.input.ratings or None,
        pl.read_parquet(snakemake.input.second) if snakemake.input.second else None,
    )
    write_audit(table, sections, Path(files.markdown), Path(files.html), Path(files.table))
    print(f"{table.height} concepts")
