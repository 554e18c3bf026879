if CORPUS.source == "toyworld":

    rule toy_captions:
        output:
            [shard.path for shard in SHARDS.values()],
        log:
            f"{RESULTS}/logs/toy_captions.log",
        conda:
            "../../envs/mining.yaml"
        resources:
            mem_mb=growing(1000),
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

    rule inspect_shard:
        input:
            shard_file,
        output:
            f"{RESULTS}/captions/shards/{{shard}}.json",
        log:
            f"{RESULTS}/logs/inspect_shard/{{shard}}.log",
        benchmark:
            f"{RESULTS}/usage/inspect_shard/{{shard}}.tsv"
        conda:
            "../../envs/mining.yaml"
        resources:
            mem_mb=growing(1000),
            runtime=20,
        params:
            path=lambda wildcards: SHARDS[wildcards.shard].path,
            layout=READING.format,
            column=READING.column,
            on_bad_shard=READING.on_bad_shard,
            checksum=READING.checksum,
            code=code_of("inspect_shard"),
        script:
            "../scripts/inspect_shard.py"

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
