import json
from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.config.evaluation import BackboneSettings
    from contrastive_concepts.encoders.clip import is_carried
    from contrastive_concepts.evaluation.contrastive_sets import load_sets
    from contrastive_concepts.evaluation.datasets import DatasetDescription
    from contrastive_concepts.evaluation.texts import benchmark_texts, concept_rows, text_side, update_texts

    params, files = snakemake.params, snakemake.input
    datasets = [DatasetDescription.model_validate_json(Path(path).read_bytes()) for path in files.datasets]
    sets = [each for path in files.sets for each in load_sets(Path(path)).values()]
    texts = benchmark_texts([name for each in datasets for name in each.query_names], sets)
    backbone, path = BackboneSettings(**params.backbone), Path(snakemake.output[0])
    described = json.loads(Path(files.encoder).read_text()) if files.encoder else None
    further = concept_rows(Path(files.concepts), Path(files.vectors)) if files.encoder else None
    if further is not None and is_carried(backbone.model, backbone.pretrained) and set(texts) <= set(further.row):
        # The vocabulary has all texts, and the weights are part of this project: the model need not be loaded.
        embed, weights = None, described["weights_sha256"]
    else:
        embed, encoder = text_side(params.templates, params.mean, backbone, params.device)
        weights = encoder.weights_sha256
        if described is not None and described["weights_sha256"] != weights:
            further = None
    new = update_texts(path, texts, embed, f"{params.templates} {params.mean} {weights} {params.code}", further)
    print(f"{len(texts)} texts, {new} of them new")
