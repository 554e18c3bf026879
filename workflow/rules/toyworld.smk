rule train_toy_clip:
    output:
        multiext(
            f"{RESULTS}/toyworld/clip/",
            "open_clip_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "open_clip_model.safetensors",
            "training.csv",
        ),
    log:
        f"{RESULTS}/logs/train_toy_clip.log",
    benchmark:
        f"{RESULTS}/usage/train_toy_clip.tsv"
    conda:
        "../../envs/encoders.yaml"
    threads: SETTINGS.toy_clip.threads
    resources:
        mem_mb=growing(3000),
        runtime=120,
    params:
        settings=SETTINGS.toy_clip.model_dump(),
        code=code_of("train_toy_clip"),
    script:
        "../scripts/train_toy_clip.py"
