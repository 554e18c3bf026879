from pathlib import Path

from contrastive_concepts.logs import job_log, progress_bar

with job_log(snakemake.log[0]):
    import polars as pl
    from pydantic import TypeAdapter

    from contrastive_concepts.config.evaluation import BackboneSettings, DatasetSettings, Protocol, SegmenterSettings
    from contrastive_concepts.evaluation.datasets import open_configured
    from contrastive_concepts.evaluation.features import GridBound, encode_samples, grid_of, write_features
    from contrastive_concepts.segmenters.configured import configured_segmenter

    params, files = snakemake.params, snakemake.input
    settings = TypeAdapter(DatasetSettings).validate_python(params.dataset)
    dataset = open_configured(settings, Path(files.root), Path(files.get("classes", "")))
    segmenter, _, _ = configured_segmenter(
        SegmenterSettings(**params.segmenter), BackboneSettings(**params.backbone), params.data_dir, params.device
    )
    bound = GridBound(len(dataset.classes), dataset.queries)
    encoded = encode_samples(segmenter, dataset, Protocol(**params.protocol))
    with progress_bar("encoding", len(dataset)) as progress:

        def observed():
            for done, sample in enumerate(encoded, 1):
                bound.add(sample.labels, grid_of(sample.encoded))
                progress(done)
                yield sample

        total = write_features(Path(snakemake.output.features), observed(), segmenter.scored_extra, params.precision)
    bound.require_any(files.root, total)
    print(f"{total} images encoded")
    pl.DataFrame({"class": list(dataset.classes), "bound": bound.iou()}).write_parquet(snakemake.output.bound)
