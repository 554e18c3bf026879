VERDICTS = f"{RESULTS}/visibility/visibility.parquet"


rule visibility:
    input:
        f"{RESULTS}/vocabulary/concepts.parquet",
        # The likelihood judge's numbers for another model.
        calibration=getattr(SETTINGS.visibility, "calibration", None) or [],
    output:
        # A mined vocabulary changes with the captions, so its verdicts must be free to follow.
        VERDICTS if MINED else protected(VERDICTS),
    log:
        f"{RESULTS}/logs/visibility.log",
    benchmark:
        f"{RESULTS}/benchmarks/visibility.tsv"
    retries: 1
    conda:
        "../../envs/judge.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=gpus_of(SETTINGS.visibility),
    params:
        answers=SETTINGS.answers,
        judge=SETTINGS.visibility.model_dump(),
        prompts=content_sha256(sorted(RESOURCES.glob("prompts/**/*.*"))),
        code=code_sha256("visibility.judging"),
    script:
        "../scripts/visibility.py"
