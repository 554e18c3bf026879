if CORPUS.source == "release":

    rule cooccurrence:
        input:
            release=data_file(CORPUS.release),
            concepts=f"{RESULTS}/vocabulary/concepts.parquet",
        output:
            matrix=f"{RESULTS}/cooccurrence/cooccurrence.npz",
            concepts=f"{RESULTS}/cooccurrence/concepts.parquet",
        log:
            f"{RESULTS}/logs/cooccurrence.log",
        benchmark:
            f"{RESULTS}/usage/cooccurrence.tsv"
        conda:
            "../../envs/mining.yaml"
        resources:
            mem_mb=growing(4000),
            runtime=20,
        params:
            mode=SETTINGS.matching.mode,
            code=code_of("cooccurrence_release"),
        script:
            "../scripts/cooccurrence_release.py"

elif CORPUS.source == "concept_index":

    rule cooccurrence:
        input:
            index=f"{RESULTS}/captions/index/concepts.parquet",
            numbers=f"{RESULTS}/captions/index/numbers.int64",
            concepts=f"{RESULTS}/vocabulary/concepts.parquet",
        output:
            matrix=f"{RESULTS}/cooccurrence/cooccurrence.npz",
            concepts=f"{RESULTS}/cooccurrence/concepts.parquet",
        log:
            f"{RESULTS}/logs/cooccurrence.log",
        benchmark:
            f"{RESULTS}/usage/cooccurrence.tsv"
        conda:
            "../../envs/mining.yaml"
        resources:
            mem_mb=growing(8000),
            runtime=240,
        params:
            mode=SETTINGS.matching.mode,
            block_captions=CORPUS.block_captions,
            code=code_of("cooccurrence_index"),
        script:
            "../scripts/cooccurrence_index.py"

else:

    rule cooccurrence:
        input:
            matrices=expand(
                f"{RESULTS}/cooccurrence/batches/{{batch}}.npz", batch=BATCHES
            ),
            statistics=expand(
                f"{RESULTS}/cooccurrence/batches/{{batch}}.json", batch=BATCHES
            ),
            concepts=f"{RESULTS}/vocabulary/concepts.parquet",
        output:
            matrix=f"{RESULTS}/cooccurrence/cooccurrence.npz",
            concepts=f"{RESULTS}/cooccurrence/concepts.parquet",
            statistics=f"{RESULTS}/cooccurrence/statistics.parquet",
        log:
            f"{RESULTS}/logs/cooccurrence.log",
        benchmark:
            f"{RESULTS}/usage/cooccurrence.tsv"
        conda:
            "../../envs/mining.yaml"
        resources:
            mem_mb=growing(4000),
            runtime=60,
        params:
            least=SETTINGS.checks.matched_captions,
            code=code_of("cooccurrence"),
        script:
            "../scripts/cooccurrence.py"
