rule figures:
    input:
        **stage_tables(None),
        dictionary=dictionary_files(f"{RESULTS}/dictionary"),
        sweeps=f"{RESULTS}/benchmark/sweeps.parquet" if SWEEP else [],
        datasets=expand(
            f"{RESULTS}/benchmark/datasets/{{dataset}}.json", dataset=COUNTED_NAMES
        ),
    output:
        funnel=report(
            f"{RESULTS}/figures/funnel.png",
            caption="../report/funnel.rst",
            category="Dictionary",
            labels={"what": "Funnel: from candidates to contrastive concepts"},
        ),
        lengths=report(
            f"{RESULTS}/figures/lengths.png",
            caption="../report/lengths.rst",
            category="Dictionary",
            labels={"what": "Number of contrastive concepts, |CC|"},
        ),
        thresholds=report(
            f"{RESULTS}/figures/thresholds.png",
            caption="../report/thresholds.rst",
            category="Dictionary",
            labels={"what": "Threshold sweeps: gamma and delta"},
        ),
        table=f"{RESULTS}/figures/thresholds.csv",
        frequencies=[
            report(
                f"{RESULTS}/figures/frequencies/{dataset}.png",
                caption="../report/frequencies.rst",
                category="Mining",
                labels={
                    "what": f"Figure 2a: captions that name the classes of {dataset}"
                },
            )
            for dataset in COUNTED_NAMES
        ],
    log:
        f"{RESULTS}/logs/figures.log",
    benchmark:
        f"{RESULTS}/usage/figures.tsv"
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=growing(6000),
        runtime=30,
    params:
        selection=SETTINGS.selection.model_dump(),
        corpus=CORPUS.corpus,
        # For the caption in the report.
        gamma=SETTINGS.selection.gamma_for(CORPUS.corpus),
        unparsed=SETTINGS.visibility.unparsed,
        code=code_of("figures"),
    script:
        "../scripts/figures.py"


rule picture:
    input:
        unpack(picture_inputs),
        weights=weight_files,
        dataset=f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
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
        protocol=lambda wildcards: protocol_of(wildcards).model_dump(),
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
        sets=f"{RESULTS}/benchmark/sets/{{dataset}}.json",
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
