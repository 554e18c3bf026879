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


rule funnel:
    input:
        dictionary_files(f"{RESULTS}/dictionary"),
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
    log:
        f"{RESULTS}/logs/funnel.log",
    benchmark:
        f"{RESULTS}/usage/funnel.tsv"
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=10,
    params:
        code=code_of("funnel"),
    script:
        "../scripts/funnel.py"


rule thresholds:
    input:
        **stage_tables(None),
        sweeps=f"{RESULTS}/benchmark/sweeps.parquet" if SWEEP else [],
    output:
        figure=report(
            f"{RESULTS}/figures/thresholds.png",
            caption="../report/thresholds.rst",
            category="Dictionary",
            labels={"what": "Threshold sweeps: gamma and delta"},
        ),
        table=f"{RESULTS}/figures/thresholds.csv",
    log:
        f"{RESULTS}/logs/thresholds.log",
    benchmark:
        f"{RESULTS}/usage/thresholds.tsv"
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
        code=code_of("thresholds"),
    script:
        "../scripts/thresholds.py"


rule set_sizes:
    input:
        scores=f"{RESULTS}/benchmark/scores.parquet",
        datasets=[
            f"{RESULTS}/benchmark/datasets/{dataset}.json" for dataset, _ in SET_PLACES
        ],
        sets=[
            f"{RESULTS}/benchmark/sets/{dataset}/{name}.json"
            for dataset, name in SET_PLACES
        ],
    output:
        report(
            f"{RESULTS}/benchmark/set_sizes.csv",
            caption="../report/set_sizes.rst",
            category="Benchmark",
            labels={"what": "Contrastive sets: |CC| and scores"},
        ),
    log:
        f"{RESULTS}/logs/set_sizes.log",
    benchmark:
        f"{RESULTS}/usage/set_sizes.tsv"
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=10,
    params:
        places=SET_PLACES,
        code=code_of("set_sizes"),
    script:
        "../scripts/set_sizes.py"
