if CORPUS.source == "toyworld":

    rule toy_captions:
        output:
            [shard.path for shard in SHARDS.values()],
        log:
            f"{RESULTS}/logs/toy_captions.log",
        # First what most jobs wait for: the list of concepts.
        priority: 20
        conda:
            "../../envs/mining.yaml"
        threads: 4
        resources:
            mem_mb=growing_with_threads(500, 250),
            runtime=10,
        params:
            captions=CORPUS.captions,
            seed=CORPUS.seed,
            code=code_of("toy_captions"),
        script:
            "../scripts/toy_captions.py"


if CORPUS.source == "release":

    rule release:
        input:
            data_file(CORPUS.release),
        output:
            f"{RESULTS}/captions/index/concepts.parquet",
        log:
            f"{RESULTS}/logs/release.log",
        benchmark:
            f"{RESULTS}/usage/release.tsv"
        conda:
            "../../envs/mining.yaml"
        resources:
            mem_mb=growing(4000),
            runtime=20,
        params:
            code=code_of("release"),
        script:
            "../scripts/release.py"

elif CORPUS.source == "concept_index":

    rule concept_index:
        input:
            unpack(index_inputs),
        output:
            concepts=f"{RESULTS}/captions/index/concepts.parquet",
            numbers=f"{RESULTS}/captions/index/numbers.int64",
        log:
            f"{RESULTS}/logs/concept_index.log",
        benchmark:
            f"{RESULTS}/usage/concept_index.tsv"
        conda:
            "../../envs/mining.yaml"
        resources:
            mem_mb=growing(4000),
            runtime=240,
        params:
            index=lambda wildcards: data_path(SETTINGS, CORPUS.index),
            code=code_of("concept_index"),
        script:
            "../scripts/concept_index.py"

else:

    # Shards that nothing reads before they are counted are inspected by the job that counts them.
    if INSPECTED_FIRST:

        rule inspect_shards:
            input:
                shard_files,
            output:
                # The job keeps the records of shards that have not changed.
                KEPT(f"{RESULTS}/captions/batches/{{batch}}.json"),
            log:
                f"{RESULTS}/logs/inspect_shards/{{batch}}.log",
            benchmark:
                f"{RESULTS}/usage/inspect_shards/{{batch}}.tsv"
            priority: 20
            conda:
                "../../envs/mining.yaml"
            threads: 4
            resources:
                mem_mb=growing_with_threads(500, 250),
                runtime=60,
            params:
                shards=batch_shards,
                inspection=INSPECTION,
                code=code_of("inspect_shards"),
            script:
                "../scripts/inspect_shards.py"

    rule manifest:
        input:
            RECORDS,
        output:
            f"{RESULTS}/captions/manifest.parquet",
        log:
            f"{RESULTS}/logs/manifest.log",
        localrule: True
        conda:
            "../../envs/mining.yaml"
        params:
            least=SETTINGS.checks.readable_shards,
            code=code_of("manifest"),
        script:
            "../scripts/manifest.py"

    rule duplicates:
        input:
            records=RECORDS,
            shards=GENERATED,
        output:
            f"{RESULTS}/captions/duplicates.parquet",
        log:
            f"{RESULTS}/logs/duplicates.log",
        benchmark:
            f"{RESULTS}/usage/duplicates.tsv"
        conda:
            "../../envs/mining.yaml"
        resources:
            mem_mb=growing(4000),
            runtime=240,
        params:
            code=code_of("duplicates"),
        script:
            "../scripts/duplicates.py"
