from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.report.published import Published
    from contrastive_concepts.report.summary import summary, write_table
    from contrastive_concepts.report.tables import build_tables

    files = snakemake.input
    read = {name: pl.read_parquet(files[name]) for name in ("scores", "sweeps", "differences", "classes", "taken")}
    folder = Path(snakemake.output.tables)
    folder.mkdir()
    tables = build_tables(read["scores"], read["sweeps"], Published(Path(files.published)))
    for table in tables:
        write_table(table, folder)
    text = summary(tables, read["scores"], read["differences"], read["classes"], read["taken"])
    Path(snakemake.output.summary).write_text(text, encoding="utf-8")
    print(text)
