from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl
    from pydantic import TypeAdapter

    from contrastive_concepts.config.contrastive_sets import ContrastiveSetSettings
    from contrastive_concepts.evaluation.contrastive_sets import load_set, resolve, save_set
    from contrastive_concepts.evaluation.datasets import DatasetDescription

    params, files = snakemake.params, snakemake.input
    settings = TypeAdapter(ContrastiveSetSettings).validate_python(params.settings)
    description = DatasetDescription.model_validate_json(Path(files.dataset).read_bytes())
    lists = None
    if settings.kind == "dictionary" and settings.folder is not None:
        from contrastive_concepts import ContrastiveConcepts

        dictionary = ContrastiveConcepts.load(Path(files.manifest).parent, background=False)
        lists = {match.query: match.contrastive_concepts for match in dictionary.lookup(description.query_names)}
    elif settings.kind == "dictionary" and settings.is_published:
        matches = pl.read_parquet(files.queries)
        lists = dict(matches.select("query", "contrastive_concepts").iter_rows())
    elif settings.kind == "dictionary":
        from contrastive_concepts.config.selection import SelectionSettings
        from contrastive_concepts.evaluation.contrastive_sets import lists_of_queries
        from contrastive_concepts.selection.select import Tables, Thresholds, select

        run = params.selection
        thresholds = Thresholds.of(SelectionSettings(**run["settings"]), run["corpus"], run["unparsed"])
        selection = select(Tables.read(files), thresholds.changed_by(settings))
        lists = lists_of_queries(selection.lists, pl.read_parquet(files.queries))
    resolved = resolve(
        params.name,
        settings,
        description.classes,
        description.query_names,
        lists=lists,
        text=Path(files.text) if files.get("text") else None,
        like=load_set(Path(files.like)) if files.get("like") else None,
        words=pl.read_parquet(files.words)["concept"].to_list() if files.get("words") else (),
    )
    sizes = [len(resolved.negatives(query, description.query_names)) for query in description.query_names]
    print(f"{params.name}: {sum(sizes) / len(sizes):.1f} contrastive concepts a query, {max(sizes)} at most")
    save_set(Path(snakemake.output[0]), resolved)
