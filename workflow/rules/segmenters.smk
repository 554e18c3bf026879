rule toy_images:
    output:
        directory(f"{RESULTS}/toyworld/images/{{dataset}}"),
    log:
        f"{RESULTS}/logs/toy_images/{{dataset}}.log",
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=20,
    params:
        images=lambda wildcards: BENCHMARK.datasets[wildcards.dataset].images,
        seed=lambda wildcards: BENCHMARK.datasets[wildcards.dataset].seed,
        code=code_of("toy_images"),
    script:
        "../scripts/toy_images.py"


rule dataset:
    input:
        unpack(dataset_files),
    output:
        f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
    log:
        f"{RESULTS}/logs/dataset/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/usage/dataset/{{dataset}}.tsv"
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=20,
    params:
        settings=lambda wildcards: BENCHMARK.datasets[wildcards.dataset].model_dump(),
        code=code_of("dataset"),
    script:
        "../scripts/dataset.py"


rule features:
    input:
        unpack(dataset_files),
        checkpoint=checkpoint_file,
    output:
        features=KEPT_FEATURES(
            directory(
                f"{RESULTS}/benchmark/features/{{segmenter}}/{{backbone}}/{{dataset}}"
            )
        ),
        bound=f"{RESULTS}/benchmark/bounds/{{segmenter}}/{{backbone}}/{{dataset}}.parquet",
    log:
        f"{RESULTS}/logs/features/{{segmenter}}/{{backbone}}/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/usage/features/{{segmenter}}/{{backbone}}/{{dataset}}.tsv"
    conda:
        "../../envs/segmenters.yaml"
    resources:
        **gpus(GPU),
        mem_mb=growing(6000),
        runtime=240,
    params:
        segmenter=segmenter_settings,
        backbone=backbone_settings,
        dataset=lambda wildcards: BENCHMARK.datasets[wildcards.dataset].model_dump(),
        data_dir=SETTINGS.data_dir,
        protocol=BENCHMARK.protocol.model_dump(),
        precision=BENCHMARK.precision,
        device=BENCHMARK.device,
        code=code_of("features"),
    script:
        "../scripts/features.py"


rule text_embeddings:
    input:
        datasets=expand(
            f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
            dataset=BENCHMARK.datasets,
        ),
        sets=lambda wildcards: sorted(
            {
                set_file(point)
                for point in [*CELLS, *SWEEP]
                if (point.segmenter, point.backbone)
                == (wildcards.segmenter, wildcards.backbone)
            }
        ),
    output:
        # The job keeps the embeddings that the file already contains.
        KEPT(f"{RESULTS}/benchmark/texts/{{segmenter}}/{{backbone}}.parquet"),
    log:
        f"{RESULTS}/logs/text_embeddings/{{segmenter}}/{{backbone}}.log",
    benchmark:
        f"{RESULTS}/usage/text_embeddings/{{segmenter}}/{{backbone}}.tsv"
    conda:
        "../../envs/segmenters.yaml"
    resources:
        **gpus(GPU),
        mem_mb=growing(6000),
        runtime=120,
    params:
        segmenter=segmenter_settings,
        backbone=backbone_settings,
        device=BENCHMARK.device,
        code=code_of("text_embeddings"),
    script:
        "../scripts/text_embeddings.py"
