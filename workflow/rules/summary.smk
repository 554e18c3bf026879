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
