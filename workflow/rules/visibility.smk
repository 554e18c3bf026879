JUDGES = judges_of(SETTINGS.visibility)
CALIBRATIONS = [in_place(file) for file in calibrations_of(SETTINGS.visibility)]
OWN_VERDICTS = own_verdicts(SETTINGS.visibility)
OWN_SECOND = own_verdicts(SETTINGS.audit.judge) if SETTINGS.audit.judge else []
# The model runs on another machine or on a GPU, so it can be asked while all cores count captions.
ELSEWHERE = JUDGES[-1].judge == "openai" or gpus_of(SETTINGS.visibility) > 0
# Named after the judge's settings, so that another judge is checked again.
READY = (
    f"{RESULTS}/visibility/judge-{settings_sha256(JUDGES[-1])}.json"
    if JUDGES[-1].judge == "vllm"
    else []
)
SECOND_VERDICTS = f"{RESULTS}/visibility/second_judge.parquet"


if READY:

    rule judge_ready:
        output:
            READY,
        log:
            f"{RESULTS}/logs/judge_ready.log",
        # First of all jobs, so that missing requirements are reported before the captions are counted.
        priority: 100
        conda:
            "../../envs/judge.yaml"
        resources:
            **gpus(gpus_of(SETTINGS.visibility)),
            mem_mb=growing(2000),
            runtime=15,
        params:
            # No hash of the code: a machine need not be checked again, and Snakemake would leave out `visibility`, whose
            # input is ancient(), where both changed.
            judge=JUDGES[-1].model_dump(),
        script:
            "../scripts/judge_ready.py"


rule visibility:
    input:
        f"{RESULTS}/vocabulary/concepts.parquet",
        # ancient: the check of the machine does not change the verdicts.
        ready=ancient(READY),
        # The calibration for a model that the project has none for.
        calibration=CALIBRATIONS,
        kept=OWN_VERDICTS,
        further=FURTHER_WORDS if SETTINGS.shares_encoder else [],
    output:
        # Not protected for a mined vocabulary: it changes with the captions, and the verdicts with it.
        VERDICTS if MINED or JUDGES[-1].judge == "embedding" else protected(VERDICTS),
        # An encoder that also measures similarity is loaded once.
        [VECTORS, ENCODER, *CARRIED_FILES] if SETTINGS.shares_encoder else [],
    log:
        f"{RESULTS}/logs/visibility.log",
    benchmark:
        f"{RESULTS}/usage/visibility.tsv"
    priority: 50 if ELSEWHERE else 5 if TOY else 0
    retries: 1
    conda:
        "../../envs/judge.yaml"
    # A language model in process gains 5 % by a second core, and other jobs would wait.
    threads: 2 if JUDGES[-1].judge == "embedding" and not TOY else 1
    resources:
        **gpus(gpus_of(SETTINGS.visibility)),
        mem_mb=growing(6000 if SETTINGS.shares_encoder else 4000),
        runtime=720,
    params:
        answers=lambda wildcards: SETTINGS.answers,
        judge=SETTINGS.visibility.model_dump(),
        similarity=(
            SETTINGS.similarity.model_dump() if SETTINGS.shares_encoder else None
        ),
        least=SETTINGS.checks.parsed_verdicts,
        # By content: another table can be older than the verdicts.
        kept=lambda wildcards: [file_sha256(Path(file)) for file in OWN_VERDICTS],
        code=code_of("visibility"),
    script:
        "../scripts/visibility.py"


if SETTINGS.audit.judge:

    rule second_judge:
        input:
            f"{RESULTS}/vocabulary/concepts.parquet",
            calibration=[
                in_place(file) for file in calibrations_of(SETTINGS.audit.judge)
            ],
            kept=OWN_SECOND,
        output:
            SECOND_VERDICTS,
        log:
            f"{RESULTS}/logs/second_judge.log",
        benchmark:
            f"{RESULTS}/usage/second_judge.tsv"
        retries: 1
        conda:
            "../../envs/judge.yaml"
        resources:
            **gpus(gpus_of(SETTINGS.audit.judge)),
            mem_mb=growing(4000),
            runtime=720,
        params:
            answers=lambda wildcards: SETTINGS.answers,
            judge=SETTINGS.audit.judge.model_dump(),
            least=SETTINGS.checks.parsed_verdicts,
            kept=lambda wildcards: [file_sha256(Path(file)) for file in OWN_SECOND],
            code=code_of("visibility"),
        script:
            "../scripts/visibility.py"


rule audit:
    input:
        verdicts=VERDICTS,
        second=SECOND_VERDICTS if SETTINGS.audit.judge else [],
        ratings=data_file(SETTINGS.audit.path) if SETTINGS.audit.path else [],
    output:
        markdown=f"{RESULTS}/visibility/audit.md",
        html=report(
            f"{RESULTS}/visibility/audit.html",
            caption="../report/audit.rst",
            category="Visibility",
            labels={"table": "Audit of the verdicts"},
        ),
        table=f"{RESULTS}/visibility/audit.parquet",
    log:
        f"{RESULTS}/logs/audit.log",
    conda:
        "../../envs/judge.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=10,
    params:
        threshold=SETTINGS.visibility.threshold,
        settings=SETTINGS.audit.model_dump(exclude={"judge"}),
        code=code_of("audit"),
    script:
        "../scripts/audit.py"
