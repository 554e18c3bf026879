rule selection:
    input:
        **stage_tables(None),
    output:
        expand(
            f"{RESULTS}/selection/{{table}}.parquet",
            table=["concepts", "kept", "rejected"],
        ),
    log:
        f"{RESULTS}/logs/selection.log",
    benchmark:
        f"{RESULTS}/usage/selection.tsv"
    conda:
        "../../envs/mining.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=30,
    params:
        settings=SETTINGS.selection.model_dump(exclude={"beta"}),
        corpus=CORPUS.corpus,
        unparsed=SETTINGS.visibility.unparsed,
        code=code_of("selection"),
    script:
        "../scripts/selection.py"
