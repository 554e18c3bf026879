rule vocabulary:
    input:
        unpack(vocabulary_input),
    output:
        concepts=f"{RESULTS}/vocabulary/concepts.parquet",
        merged=f"{RESULTS}/vocabulary/merged.parquet",
    log:
        f"{RESULTS}/logs/vocabulary.log",
    benchmark:
        f"{RESULTS}/usage/vocabulary.tsv"
    priority: 20
    conda:
        "../../envs/mining.yaml"
    threads: 4 if MINED else 1
    resources:
        mem_mb=growing_with_threads(3000, 500),
        runtime=60,
    params:
        mode=SETTINGS.matching.mode,
        mined=SETTINGS.vocabulary.model_dump(exclude={"source"}) if MINED else None,
        code=code_of("vocabulary"),
    script:
        "../scripts/vocabulary.py"


if SETTINGS.similarity.further_words:

    rule further_words:
        input:
            concepts=f"{RESULTS}/vocabulary/concepts.parquet",
            records=RECORDS,
            shards=GENERATED,
        output:
            FURTHER_WORDS,
        log:
            f"{RESULTS}/logs/further_words.log",
        benchmark:
            f"{RESULTS}/usage/further_words.tsv"
        conda:
            "../../envs/mining.yaml"
        threads: 4
        resources:
            mem_mb=growing_with_threads(3000, 500),
            runtime=60,
        params:
            size=SETTINGS.similarity.further_words,
            mode=SETTINGS.matching.mode,
            code=code_of("further_words"),
        script:
            "../scripts/further_words.py"
