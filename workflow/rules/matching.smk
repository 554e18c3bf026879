if not INDEXED:

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

    rule match_shard:
        input:
            shard=shard_file,
            record=f"{RESULTS}/captions/shards/{{shard}}.json",
            lexicon=f"{RESULTS}/matching/lexicon.npz",
            duplicates=(
                f"{RESULTS}/captions/duplicates.parquet" if READING.deduplicate else []
            ),
        output:
            matrix=f"{RESULTS}/cooccurrence/shards/{{shard}}.npz",
            statistics=f"{RESULTS}/cooccurrence/shards/{{shard}}.json",
        log:
            f"{RESULTS}/logs/match_shard/{{shard}}.log",
        benchmark:
            f"{RESULTS}/usage/match_shard/{{shard}}.tsv"
        conda:
            "../../envs/mining.yaml"
        resources:
            mem_mb=growing(1500),
            runtime=60,
        params:
            max_caption_bytes=READING.max_caption_bytes,
            on_bad_shard=READING.on_bad_shard,
            least_usable=SETTINGS.checks.usable_captions,
            code=code_of("match_shard"),
        script:
            "../scripts/match_shard.py"
