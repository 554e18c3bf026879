rule embeddings:
    input:
        f"{RESULTS}/vocabulary/concepts.parquet",
    output:
        vectors=f"{RESULTS}/similarity/embeddings.npy",
        encoder=f"{RESULTS}/similarity/encoder.json",
    log:
        f"{RESULTS}/logs/embeddings.log",
    benchmark:
        f"{RESULTS}/benchmarks/embeddings.tsv"
    conda:
        "../../envs/encoders.yaml"
    threads: 2
    resources:
        mem_mb=growing(6000),
        runtime=240,
    params:
        encoder=SETTINGS.similarity.model_dump(),
        code=code_of("embeddings"),
    script:
        "../scripts/embeddings.py"


rule similarity:
    input:
        candidates=f"{RESULTS}/cooccurrence/candidates.parquet",
        vectors=f"{RESULTS}/similarity/embeddings.npy",
    output:
        f"{RESULTS}/similarity/candidates.parquet",
    log:
        f"{RESULTS}/logs/similarity.log",
    benchmark:
        f"{RESULTS}/benchmarks/similarity.tsv"
    conda:
        "../../envs/encoders.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=20,
    params:
        delta=SETTINGS.selection.delta,
        code=code_of("similarity"),
    script:
        "../scripts/similarity.py"
