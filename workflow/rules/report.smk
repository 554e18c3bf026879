rule frequencies:
    input:
        f"{RESULTS}/cooccurrence/concepts.parquet",
    output:
        report(
            f"{RESULTS}/figures/frequencies.png",
            category="Mining",
            labels={"what": "Figure 2a: frequencies of the concepts"},
        ),
    log:
        f"{RESULTS}/logs/frequencies.log",
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_sha256("report.frequencies"),
    script:
        "../scripts/frequencies.py"


rule qualitative:
    input:
        unpack(dataset_files),
        checkpoint=checkpoint_file,
        dataset=f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
        texts=f"{RESULTS}/benchmark/texts/{{segmenter}}/{{backbone}}.parquet",
        sets=expand(
            f"{RESULTS}/benchmark/sets/{{{{dataset}}}}/{{set}}.json",
            set=BENCHMARK.figures.sets,
        ),
    output:
        report(
            f"{RESULTS}/figures/{{segmenter}}/{{backbone}}/{{dataset}}.png",
            category="Benchmark",
            labels={"what": "Figures 3, 4: {segmenter}, {backbone}, {dataset}"},
        ),
    log:
        f"{RESULTS}/logs/qualitative/{{segmenter}}/{{backbone}}/{{dataset}}.log",
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=6000,
        runtime=60,
        gpu=GPU,
    params:
        segmenter=segmenter_settings,
        backbone=backbone_settings,
        dataset=lambda wildcards: BENCHMARK.datasets[wildcards.dataset].model_dump(),
        data_dir=SETTINGS.data_dir,
        protocol=BENCHMARK.protocol.model_dump(),
        device=BENCHMARK.device,
        rows=BENCHMARK.figures.rows,
        titles=BENCHMARK.figures.sets,
        code=code_sha256(
            "report.examples",
            "report.segmented",
            "evaluation.open_dataset",
            "segmenters",
        ),
    script:
        "../scripts/qualitative.py"
