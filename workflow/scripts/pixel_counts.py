from pathlib import Path

from contrastive_concepts.logs import job_log, progress_bar

with job_log(snakemake.log[0]):
    from pydantic import TypeAdapter

    from contrastive_concepts.config.evaluation import (
        AbsentSettings,
        BackboneSettings,
        DatasetSettings,
        Protocol,
        SegmenterSettings,
    )
    from contrastive_concepts.evaluation.absent import absent_queries, read_together
    from contrastive_concepts.evaluation.contrastive_sets import load_sets
    from contrastive_concepts.evaluation.datasets import DatasetDescription, open_configured
    from contrastive_concepts.evaluation.grid_bound import require_any
    from contrastive_concepts.evaluation.scoring import Experiment, Scorer
    from contrastive_concepts.evaluation.streaming import (
        KeptFeatures,
        chunks_of,
        fingerprint_of,
        save_scored,
        score_images,
        scored_before,
    )
    from contrastive_concepts.evaluation.texts import load_texts, read_fingerprint
    from contrastive_concepts.provenance import content_sha256
    from contrastive_concepts.segmenters.configured import configured_segmenter, scoring_segmenter

    params, files = snakemake.params, snakemake.input
    folder = Path(snakemake.output.counts).parent
    settings = TypeAdapter(DatasetSettings).validate_python(params.dataset)
    segmenter_settings, backbone = SegmenterSettings(**params.segmenter), BackboneSettings(**params.backbone)
    dataset = open_configured(settings, Path(files.root), Path(files.get("classes", "")))
    description = DatasetDescription.model_validate_json(Path(files.description).read_bytes())
    sets = load_sets(Path(files.sets))
    experiments = [
        Experiment(name, sets[of], tuple(metrics), params.beta if beta is None else beta)
        for name, of, metrics, beta in params.experiments
    ]

    encoding = {
        "images": description.model_dump(),
        "data": params.dataset,
        "segmenter": params.segmenter,
        "backbone": params.backbone,
        "protocol": params.protocol,
        "precision": params.precision if params.features == "kept" else "float32",
        "code": params.code,
        "weights": content_sha256(Path(file) for file in files.weights),
    }
    texts_fingerprint = read_fingerprint(Path(files.texts))
    asked, absent, together = params.get("absent"), None, files.get("together", [])
    of_absent = {"absent": asked, "together": content_sha256(map(Path, together))} if asked else {}
    fingerprint = fingerprint_of(**encoding, texts=texts_fingerprint, **of_absent)
    known, before = scored_before(folder, fingerprint, bool(asked))
    missing = [each for each in experiments if before.get(each.name) != each.fingerprint]
    counts = known.only({each.name for each in experiments} - {each.name for each in missing}) if known else None
    print(f"{len(experiments)} experiments, {len(missing)} of them not scored before")
    if missing or counts is None:
        kept = None
        if params.features == "kept":
            kept = KeptFeatures(Path(snakemake.output.features), params.precision, fingerprint_of(**encoding))
        chunks = range(len(chunks_of(dataset.names)))
        only_scores = kept is not None and all(kept.has(number) for number in chunks)
        segmenter = (
            scoring_segmenter(segmenter_settings, backbone, params.data_dir, params.device, settings.kind)
            if only_scores
            else configured_segmenter(segmenter_settings, backbone, params.data_dir, params.device, settings.kind)[0]
        )
        texts = load_texts(Path(files.texts))
        classes, queries = description.classes, description.queries
        if asked:
            frequency = read_together(Path(together[0]), description.query_names) if together else None
            absent = absent_queries(AbsentSettings(**asked), classes, queries, texts, frequency)
        scorer = Scorer(segmenter, classes, queries, missing, texts, params.device, absent)
        with progress_bar("segmenting", len(dataset)) as progress:
            new = score_images(
                dataset,
                segmenter,
                scorer,
                Protocol(**params.protocol),
                folder,
                fingerprint_of(of=fingerprint, experiments=[each.fingerprint for each in missing]),
                snakemake.threads - 1,
                kept,
                params.device,
                progress,
            )
        counts = counts.with_experiments(new) if counts else new
    require_any(counts.cells, files.root, len(description.queries), counts.images.height)
    save_scored(folder, counts, fingerprint, experiments)
    print(f"{counts.images.height} images")
