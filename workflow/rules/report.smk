rule frequencies:
    input:
        concepts=f"{RESULTS}/cooccurrence/concepts.parquet",
        dataset=f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
    output:
        report(
            f"{RESULTS}/figures/frequencies/{{dataset}}.png",
            caption="../report/frequencies.rst",
            category="Mining",
            labels={"what": "Figure 2a: captions that name the classes of {dataset}"},
        ),
    log:
        f"{RESULTS}/logs/frequencies/{{dataset}}.log",
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=10,
    params:
        code=code_of("frequencies"),
    script:
        "../scripts/frequencies.py"


rule picture:
    input:
        unpack(picture_inputs),
        checkpoint=checkpoint_file,
        dataset=f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
        texts=ancient(f"{RESULTS}/benchmark/texts/{{segmenter}}/{{backbone}}.parquet"),
    output:
        report(
            f"{RESULTS}/figures/{{figure}}/{{segmenter}}/{{backbone}}/{{dataset}}.png",
            caption="../report/picture.rst",
            category="Benchmark",
            labels={"what": "{figure}: {segmenter}, {backbone}, {dataset}"},
        ),
    log:
        f"{RESULTS}/logs/picture/{{figure}}/{{segmenter}}/{{backbone}}/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/usage/picture/{{figure}}/{{segmenter}}/{{backbone}}/{{dataset}}.tsv"
    conda:
        "../../envs/segmenters.yaml"
    resources:
        **gpus(GPU),
        mem_mb=growing(6000),
        runtime=60,
    params:
        segmenter=segmenter_settings,
        backbone=backbone_settings,
        data=lambda wildcards: BENCHMARK.datasets[wildcards.dataset].model_dump(),
        data_dir=SETTINGS.data_dir,
        protocol=BENCHMARK.protocol.model_dump(),
        device=BENCHMARK.device,
        figure=lambda wildcards: BENCHMARK.figures[wildcards.figure].model_dump(),
        titles=lambda wildcards: BENCHMARK.shown_sets(
            wildcards.figure, wildcards.segmenter, wildcards.dataset
        ),
        code=code_of("picture"),
    script:
        "../scripts/picture.py"


rule listing:
    input:
        dataset=f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
        set=lambda wildcards: f"{RESULTS}/benchmark/sets/{wildcards.dataset}/{BENCHMARK.listings[wildcards.dataset]}.json",
    output:
        markdown=report(
            f"{RESULTS}/benchmark/listings/{{dataset}}.md",
            caption="../report/listing.rst",
            category="Benchmark",
            labels={"what": "Table 8: contrastive concepts of {dataset}"},
        ),
        latex=f"{RESULTS}/benchmark/listings/{{dataset}}.tex",
    log:
        f"{RESULTS}/logs/listing/{{dataset}}.log",
    localrule: True
    conda:
        "../../envs/segmenters.yaml"
    params:
        set=lambda wildcards: BENCHMARK.listings[wildcards.dataset],
        code=code_of("listing"),
    script:
        "../scripts/listing.py"
