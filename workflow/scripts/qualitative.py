from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from pydantic import TypeAdapter

    from contrastive_concepts.config.evaluation import BackboneSettings, DatasetSettings, Protocol, SegmenterSettings
    from contrastive_concepts.evaluation.description import DatasetDescription
    from contrastive_concepts.evaluation.open_dataset import open_configured
    from contrastive_concepts.evaluation.set_files import load_set
    from contrastive_concepts.evaluation.texts import load_texts
    from contrastive_concepts.report.examples import examples
    from contrastive_concepts.report.panels import draw_rows
    from contrastive_concepts.report.segmented import segmented_row
    from contrastive_concepts.segmenters.configured import configured_segmenter

    params, files = snakemake.params, snakemake.input
    settings = TypeAdapter(DatasetSettings).validate_python(params.dataset)
    dataset = open_configured(settings, Path(files.root), Path(files.get("classes", "")))
    description = DatasetDescription.model_validate_json(Path(files.dataset).read_bytes())
    segmenter, _, _ = configured_segmenter(
        SegmenterSettings(**params.segmenter), BackboneSettings(**params.backbone), params.data_dir, params.device
    )
    sets = {name: load_set(Path(file)) for name, file in zip(params.titles, files.sets, strict=True)}
    texts = load_texts(Path(files.texts))
    rows = [
        segmented_row(segmenter, sample, description.classes, label, sets, texts, Protocol(**params.protocol))
        for sample, label in examples(dataset, description.queries, params.rows)
    ]
    draw_rows(rows, Path(snakemake.output[0]))
    print(f"{len(rows)} rows")
