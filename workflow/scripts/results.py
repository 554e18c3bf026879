from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.config.benchmark import BenchmarkSettings
    from contrastive_concepts.evaluation.contrastive_sets import load_sets
    from contrastive_concepts.evaluation.datasets import DatasetDescription
    from contrastive_concepts.evaluation.results import collect
    from contrastive_concepts.report.published import Published
    from contrastive_concepts.report.set_sizes import mean_size, set_sizes
    from contrastive_concepts.report.summary import summary, write_table
    from contrastive_concepts.report.tables import build_tables

    settings = BenchmarkSettings(**snakemake.params.settings)
    print(*settings.left_out(), sep="\n")
    files, outputs = snakemake.input, snakemake.output
    described = {
        name: DatasetDescription.model_validate_json(Path(path).read_bytes())
        for name, path in zip(settings.datasets, files.datasets, strict=True)
    }
    folders = {encoding: Path(path).parent for encoding, path in zip(settings.encodings(), files.counts, strict=True)}
    results = collect(settings, folders, described)
    for name in ("scores", "sweeps", "differences", "classes", "taken"):
        table = getattr(results, name)
        table.write_parquet(outputs[name])
        print(name, table)

    folder = Path(outputs.tables)
    folder.mkdir()
    tables = build_tables(results.scores, results.sweeps, Published(Path(files.published)))
    for table in tables:
        write_table(table, folder)
    text = summary(tables, results.scores, results.differences, results.classes, results.taken)
    Path(outputs.summary).write_text(text, encoding="utf-8")
    print(text)

    sets = {name: load_sets(Path(path)) for name, path in zip(snakemake.params.with_sets, files.sets, strict=True)}
    sizes = {
        (cell.dataset, cell.set): mean_size(sets[cell.dataset][cell.set], described[cell.dataset].query_names)
        for cell in settings.cells()
    }
    table = set_sizes(results.scores, sizes)
    print(table)
    table.write_csv(outputs.set_sizes, float_precision=2)
