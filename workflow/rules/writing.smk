PARTS = f"{RESULTS}/writing/parts.parquet"


wildcard_constraints:
    classes="[A-Za-z0-9][A-Za-z0-9._-]*",


rule write_cc_l:
    input:
        lambda wildcards: data_file(CLASS_LISTS[wildcards.classes]),
    output:
        lists=f"{CC_L}/lists.parquet",
        text=f"{CC_L}/cc_llm.txt",
    log:
        f"{RESULTS}/logs/write_cc_l/{{classes}}.log",
    benchmark:
        f"{RESULTS}/usage/write_cc_l/{{classes}}.tsv"
    retries: 1
    conda:
        "../../envs/judge.yaml"
    threads: 2
    resources:
        **gpus(gpus_of(SETTINGS.writer)),
        mem_mb=growing(4000),
        runtime=720,
    params:
        answers=lambda wildcards: SETTINGS.answers,
        judge=SETTINGS.writer.model_dump(),
        code=code_of("write_cc_l"),
    script:
        "../scripts/write_cc_l.py"


rule cc_l_dictionary:
    input:
        f"{CC_L}/lists.parquet",
    output:
        KEPT(dictionary_files(f"{CC_L}/dictionary", CARRIED_ENCODER)),
    log:
        f"{RESULTS}/logs/cc_l_dictionary/{{classes}}.log",
    benchmark:
        f"{RESULTS}/usage/cc_l_dictionary/{{classes}}.tsv"
    conda:
        "../../envs/encoders.yaml"
    resources:
        mem_mb=growing(6000),
        runtime=30,
    params:
        settings=SETTINGS.model_dump(exclude={"benchmark", "toy_clip"}),
        code=code_of("cc_l_dictionary"),
    script:
        "../scripts/cc_l_dictionary.py"


rule write_parts:
    input:
        VERDICTS,
    output:
        PARTS,
    log:
        f"{RESULTS}/logs/write_parts.log",
    benchmark:
        f"{RESULTS}/usage/write_parts.tsv"
    retries: 1
    conda:
        "../../envs/judge.yaml"
    threads: 2
    resources:
        **gpus(gpus_of(SETTINGS.writer)),
        mem_mb=growing(4000),
        runtime=1440,
    params:
        answers=lambda wildcards: SETTINGS.answers,
        judge=SETTINGS.writer.model_dump(),
        code=code_of("write_parts"),
    script:
        "../scripts/write_parts.py"
