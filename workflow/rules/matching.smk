if not INDEXED:

    # Once, beside the jobs that read captions, not in each of the jobs that count at the same time.
    rule kernel:
        output:
            touch(f"{RESULTS}/matching/kernel.compiled"),
        log:
            f"{RESULTS}/logs/kernel.log",
        benchmark:
            f"{RESULTS}/usage/kernel.tsv"
        conda:
            "../../envs/mining.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=20,
        params:
            mode=SETTINGS.matching.mode,
            nouns=SETTINGS.matching.nouns,
            tagger=SETTINGS.matching.tagger,
            code=code_of("kernel"),
        script:
            "../scripts/kernel.py"

    rule lexicon:
        input:
            f"{RESULTS}/vocabulary/concepts.parquet",
        output:
            f"{RESULTS}/matching/lexicon.npz",
        log:
            f"{RESULTS}/logs/lexicon.log",
        benchmark:
            f"{RESULTS}/usage/lexicon.tsv"
        conda:
            "../../envs/mining.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=20,
        params:
            mode=SETTINGS.matching.mode,
            nouns=SETTINGS.matching.nouns,
            tagger=SETTINGS.matching.tagger,
            code=code_of("lexicon"),
        script:
            "../scripts/lexicon.py"

    rule match_shards:
        input:
            shards=shard_files,
            records=(
                f"{RESULTS}/captions/batches/{{batch}}.json" if INSPECTED_FIRST else []
            ),
            lexicon=f"{RESULTS}/matching/lexicon.npz",
            kernel=f"{RESULTS}/matching/kernel.compiled",
            duplicates=(
                f"{RESULTS}/captions/duplicates.parquet" if READING.deduplicate else []
            ),
        output:
            **(
                {}
                if INSPECTED_FIRST
                else {"records": KEPT(f"{RESULTS}/captions/batches/{{batch}}.json")}
            ),
            matrix=f"{RESULTS}/cooccurrence/batches/{{batch}}.npz",
            statistics=f"{RESULTS}/cooccurrence/batches/{{batch}}.json",
        log:
            f"{RESULTS}/logs/match_shards/{{batch}}.log",
        benchmark:
            f"{RESULTS}/usage/match_shards/{{batch}}.tsv"
        conda:
            "../../envs/mining.yaml"
        threads: 1 if WITH_SPACY or TOY else 4
        resources:
            mem_mb=growing_with_threads(1000, 500),
            runtime=120,
        params:
            shards=batch_shards,
            inspection=INSPECTION,
            # The counts of each shard stay here, so that a changed shard is counted alone.
            kept=None if STORED else f"{RESULTS}/cooccurrence/shards",
            max_caption_bytes=READING.max_caption_bytes,
            on_bad_shard=READING.on_bad_shard,
            least_usable=SETTINGS.checks.usable_captions,
            code=code_of("match_shards"),
        script:
            "../scripts/match_shards.py"
