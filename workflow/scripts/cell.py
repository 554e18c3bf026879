from pathlib import Path

from contrastive_concepts.logs import job_log, progress_bar

with job_log(snakemake.log[0]):
    from contrastive_concepts.config.evaluation import BackboneSettings, SegmenterSettings
    from contrastive_concepts.evaluation.cell import run_cell
    from contrastive_concepts.evaluation.contrastive_sets import load_set
    from contrastive_concepts.evaluation.datasets import DatasetDescription
    from contrastive_concepts.evaluation.features import read_features
    from contrastive_concepts.evaluation.texts import load_texts
    from contrastive_concepts.segmenters.configured import scoring_segmenter

    params, files = snakemake.params, snakemake.input
    description = DatasetDescription.model_validate_json(Path(files.dataset).read_bytes())
    segmenter = scoring_segmenter(
        SegmenterSettings(**params.segmenter), BackboneSettings(**params.backbone), params.data_dir, params.device
    )
    with progress_bar("segmenting", len(description.images)) as progress:
        scores = run_cell(
            segmenter,
            read_features(Path(files.features), params.device),
            description.classes,
            description.queries,
            load_set(Path(files.set)),
            load_texts(Path(files.texts)),
            params.metrics,
            params.beta,
            progress,
        )
    scores.save(Path(snakemake.output[0]).parent)
    print(f"{len(scores.images)} images")
