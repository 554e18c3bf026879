from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.config.benchmark import BenchmarkSettings
    from contrastive_concepts.evaluation.contrastive_sets import load_sets
    from contrastive_concepts.evaluation.datasets import DatasetDescription
    from contrastive_concepts.evaluation.gains import read_facts
    from contrastive_concepts.evaluation.results import collect
    from contrastive_concepts.report.gains import gains_page
    from contrastive_concepts.report.published import Published
    from contrastive_concepts.report.set_sizes import mean_size, set_sizes, sets_page
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
    sets = {name: load_sets(Path(path)) for name, path in zip(snakemake.params.with_sets, files.sets, strict=True)}
    texts = dict(zip(settings.encodings(), files.texts, strict=True))
    matches = dict(zip(snakemake.params.counted, files.queries, strict=True))

    def facts(cell):
        queries = Path(matches[cell.dataset]) if cell.dataset in matches else None
        concepts = Path(files.concepts) if queries else None
        return read_facts(sets[cell.dataset][cell.set], Path(texts[cell[:3]]), queries, concepts)

    results = collect(settings, folders, described, facts)
    names = ["scores", "sweeps", "differences", "classes", "taken", "gains"]
    names += ["absent", "absent_differences"] if settings.asked_absent else []
    for name in names:
        table = getattr(results, name)
        table.write_parquet(outputs[name])
        print(name, table)

    Path(outputs.gains_page).write_text(gains_page(results.gains), encoding="utf-8")
    folder = Path(outputs.tables)
    folder.mkdir()
    tables = build_tables(results.scores, results.sweeps, Published(Path(files.published)))
    for table in tables:
        write_table(table, folder)
    text = summary(
        tables,
        results.scores,
        results.differences,
        results.classes,
        results.taken,
        results.absent,
        results.absent_differences,
    )

    sizes = {
        (cell.dataset, cell.set): mean_size(sets[cell.dataset][cell.set], described[cell.dataset].query_names)
        for cell in settings.cells()
    }
    table = set_sizes(results.scores, sizes)
    print(table)
    table.write_csv(outputs.set_sizes, float_precision=2)
    columns = {name: settings.column(name) for name in settings.sets}
    text += "\n" + sets_page(table, results.differences, columns, results.absent)
    Path(outputs.summary).write_text(text, encoding="utf-8")
    print(text)
