import json
from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.config.evaluation import BackboneSettings
    from contrastive_concepts.evaluation.contrastive_sets import load_sets
    from contrastive_concepts.evaluation.datasets import DatasetDescription
    from contrastive_concepts.evaluation.texts import benchmark_texts, concept_rows, update_texts
    from contrastive_concepts.segmenters.configured import text_side

    params, files = snakemake.params, snakemake.input
    datasets = [DatasetDescription.model_validate_json(Path(path).read_bytes()) for path in files.datasets]
    sets = [each for path in files.sets for each in load_sets(Path(path)).values()]
    texts = benchmark_texts([name for each in datasets for name in each.query_names], sets)
    embed, encoder = text_side(params.templates, params.mean, BackboneSettings(**params.backbone), params.device)
    further = None
    if files.encoder and params.mean == "unit":
        described = json.loads(Path(files.encoder).read_text())
        if (described["weights_sha256"], described["templates"]) == (encoder.weights_sha256, params.templates):
            further = concept_rows(Path(files.concepts), Path(files.vectors))
    fingerprint = f"{params.templates} {params.mean} {encoder.weights_sha256} {params.code}"
    new = update_texts(Path(snakemake.output[0]), texts, embed, fingerprint, further)
    print(f"{len(texts)} texts, {new} of them new")
