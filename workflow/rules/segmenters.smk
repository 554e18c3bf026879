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


rule text_embeddings:
    input:
        unpack(vocabulary_vectors),
        datasets=expand(
            f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
            dataset=BENCHMARK.datasets,
        ),
        sets=expand(f"{RESULTS}/benchmark/sets/{{dataset}}.json", dataset=WITH_SETS),
        weights=lambda wildcards: clip_files(wildcards.backbone),
    output:
        # The job keeps the embeddings that the file already contains.
        KEPT(f"{RESULTS}/benchmark/texts/{{backbone}}/{{templates}}-{{mean}}.parquet"),
    log:
        f"{RESULTS}/logs/text_embeddings/{{backbone}}/{{templates}}-{{mean}}.log",
    benchmark:
        f"{RESULTS}/usage/text_embeddings/{{backbone}}/{{templates}}-{{mean}}.tsv"
    wildcard_constraints:
        templates="[a-z]+",
        mean="unit|raw",
    priority: 10
    conda:
        "../../envs/segmenters.yaml"
    threads: 1 if TOY else 2
    resources:
        **gpus(GPU),
        mem_mb=growing(6000),
        runtime=120,
    params:
        templates="{templates}",
        mean="{mean}",
        backbone=backbone_settings,
        device=BENCHMARK.device,
        code=code_of("text_embeddings"),
    script:
        "../scripts/text_embeddings.py"
