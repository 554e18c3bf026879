from dataclasses import replace
from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl
    from pydantic import TypeAdapter

    from contrastive_concepts.config.contrastive_sets import ContrastiveSetSettings
    from contrastive_concepts.config.selection import SelectionSettings
    from contrastive_concepts.evaluation.contrastive_sets import lists_of_queries, resolve, save_sets
    from contrastive_concepts.evaluation.datasets import DatasetDescription
    from contrastive_concepts.selection.select import Tables, Thresholds, select, select_all

    params, files = snakemake.params, snakemake.input
    description = DatasetDescription.model_validate_json(Path(files.dataset).read_bytes())
    queries = description.query_names
    matches = pl.read_parquet(files.queries) if files.queries else None
    # The tables of a run without parts and those with parts differ in one file.
    tables = {}

    def stages(parts):
        if parts not in tables:
            read = {name: files.get(name) for name in ("matrix", "concepts", "verdicts", "vectors", "statistics")}
            tables[parts] = Tables.read({**read, "parts": files.parts if parts else []})
        return tables[parts]

    def selected(settings):
        """Query -> concepts, selected again under the thresholds of a set."""
        run = SelectionSettings(**params.selection["settings"])
        thresholds = Thresholds.of(run, params.selection["corpus"], params.selection["unparsed"])
        if settings.kind == "vocabulary":
            delta = thresholds.delta if settings.delta is None else settings.delta
            lists = select_all(stages(False), replace(thresholds, delta=delta), matches["concept"].unique().to_list())
        else:
            parts = run.remove_parts if settings.remove_parts is None else settings.remove_parts
            lists = select(stages(parts), thresholds.changed_by(settings)).lists
        return lists_of_queries(lists, matches)

    def lists_of(settings):
        if settings.kind == "vocabulary":
            return selected(settings)
        if settings.kind != "dictionary":
            return None
        if settings.folder is not None:
            from contrastive_concepts import ContrastiveConcepts

            dictionary = ContrastiveConcepts.load(Path(params.folders[settings.folder]), background=False)
            return {match.query: match.contrastive_concepts for match in dictionary.lookup(queries)}
        if settings.is_published:
            return dict(matches.select("query", "contrastive_concepts").iter_rows())
        return selected(settings)

    sets = {}
    # A set comes after the set that it is like.
    for name in sorted(params.sets, key=lambda name: "like" in params.sets[name]):
        settings = TypeAdapter(ContrastiveSetSettings).validate_python(params.sets[name])
        words = pl.read_parquet(params.words[name]) if name in params.words else None
        by_frequency = settings.kind == "random" and settings.match == "frequency"
        sets[name] = resolve(
            name,
            settings,
            description.classes,
            queries,
            lists=lists_of(settings),
            text=Path(params.texts[name]) if name in params.texts else None,
            like=sets[settings.like] if words is not None else None,
            words=words["concept"].to_list() if words is not None else (),
            counts=dict(words.select("concept", "count").iter_rows()) if by_frequency else None,
            synonyms=Path(params.synonyms[name]) if name in params.synonyms else None,
        )
        sizes = [len(sets[name].negatives(query, queries)) for query in queries]
        print(f"{name}: {sum(sizes) / len(sizes):.1f} contrastive concepts a query, {max(sizes)} at most")
    save_sets(Path(snakemake.output[0]), sets)
