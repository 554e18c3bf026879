rule dictionary:
    input:
        selection=rules.selection.output,
        verdicts=VERDICTS,
        vectors=VECTORS,
        encoder=ENCODER,
        carried=CARRIED_FILES,
        manifest=[] if INDEXED else f"{RESULTS}/captions/manifest.parquet",
        statistics=STATISTICS,
    output:
        # The job itself replaces the folder in one step. The old folder must stay until then.
        KEPT(dictionary_files(f"{RESULTS}/dictionary", CARRIED)),
    log:
        f"{RESULTS}/logs/dictionary.log",
    benchmark:
        f"{RESULTS}/usage/dictionary.tsv"
    conda:
        "../../envs/encoders.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=20,
    params:
        settings=SETTINGS.model_dump(exclude={"benchmark", "toy_clip"}),
        code=code_of("dictionary"),
    script:
        "../scripts/dictionary.py"
