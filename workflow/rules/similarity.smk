# Otherwise the rule `visibility` writes them, with the encoder that judges.
if not SETTINGS.shares_encoder:

    rule embeddings:
        input:
            f"{RESULTS}/vocabulary/concepts.parquet",
            further=FURTHER_WORDS,
        output:
            vectors=VECTORS,
            encoder=ENCODER,
            carried=CARRIED_FILES,
        log:
            f"{RESULTS}/logs/embeddings.log",
        benchmark:
            f"{RESULTS}/usage/embeddings.tsv"
        # In a small run the longest job before the dictionary.
        priority: 5 if TOY else 0
        conda:
            "../../envs/encoders.yaml"
        threads: 1 if TOY else 2
        resources:
            mem_mb=growing(6000),
            runtime=240,
        params:
            encoder=SETTINGS.similarity.model_dump(),
            code=code_of("embeddings"),
        script:
            "../scripts/embeddings.py"
