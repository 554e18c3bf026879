from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl
    from pydantic import TypeAdapter

    from contrastive_concepts.config.evaluation import BackboneSettings, DatasetSettings, Protocol, SegmenterSettings
    from contrastive_concepts.evaluation.contrastive_sets import load_sets
    from contrastive_concepts.evaluation.datasets import DatasetDescription, open_configured
    from contrastive_concepts.evaluation.texts import load_texts
    from contrastive_concepts.report.examples import examples, named_examples
    from contrastive_concepts.report.panels import draw_rows
    from contrastive_concepts.report.segmented import segmented_row
    from contrastive_concepts.segmenters.configured import configured_segmenter

    params, files = snakemake.params, snakemake.input
    figure = params.figure
    settings = TypeAdapter(DatasetSettings).validate_python(params.data)
    dataset = open_configured(settings, Path(files.root), Path(files.get("classes", "")))
    description = DatasetDescription.model_validate_json(Path(files.dataset).read_bytes())
    segmenter, _, _ = configured_segmenter(
        SegmenterSettings(**params.segmenter),
        BackboneSettings(**params.backbone),
        params.data_dir,
        params.device,
        settings.kind,
    )
    every = load_sets(Path(files.sets))
    sets = {name: every[name] for name in params.titles}
    maps = params.titles[-1:] if figure["maps"] is None else figure["maps"]
    matches = pl.read_parquet(files.queries).select("query", "concept") if files.queries else None
    nearest = {} if matches is None else dict(matches.iter_rows())
    texts, protocol = load_texts(Path(files.texts)), Protocol(**params.protocol)
    if figure["examples"]:
        samples = named_examples(dataset, figure["examples"])
    else:
        samples = examples(dataset, description.queries, figure["rows"])
    rows = []
    for sample, label in samples:
        query = description.classes[label]
        known = nearest.get(query)
        rows.append(segmented_row(segmenter, sample, description.classes, label, sets, texts, protocol, maps, known))
        print(f"{sample.name}: {query}, nearest concept {known or '(not asked)'}")
    draw_rows(rows, Path(snakemake.output[0]))
