from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.config.evaluation import BackboneSettings, SegmenterSettings
    from contrastive_concepts.evaluation.contrastive_sets import load_set
    from contrastive_concepts.evaluation.datasets import DatasetDescription
    from contrastive_concepts.evaluation.texts import benchmark_texts, update_texts
    from contrastive_concepts.segmenters.configured import text_side

    params = snakemake.params
    datasets = [DatasetDescription.model_validate_json(Path(path).read_bytes()) for path in snakemake.input.datasets]
    sets = [load_set(Path(path)) for path in snakemake.input.sets]
    texts = benchmark_texts([name for each in datasets for name in each.query_names], sets)
    embed, weights = text_side(
        SegmenterSettings(**params.segmenter), BackboneSettings(**params.backbone), params.device
    )
    new = update_texts(Path(snakemake.output[0]), texts, embed, f"{weights} {params.code}")
    print(f"{len(texts)} texts, {new} of them new")
