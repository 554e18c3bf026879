rule query_concepts:
    input:
        dictionary=f"{RESULTS}/dictionary/manifest.json",
        dataset=f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
    output:
        f"{RESULTS}/benchmark/queries/{{dataset}}.parquet",
    log:
        f"{RESULTS}/logs/query_concepts/{{dataset}}.log",
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=code_sha256("dictionary.contrastive"),
    script:
        "../scripts/query_concepts.py"


rule contrastive_set:
    input:
        unpack(set_inputs),
        dataset=f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
    output:
        f"{RESULTS}/benchmark/sets/{{dataset}}/{{set}}.json",
    log:
        f"{RESULTS}/logs/contrastive_set/{{dataset}}/{{set}}.log",
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        name="{set}",
        settings=lambda wildcards: BENCHMARK.sets[wildcards.set].model_dump(),
        selection=SETTINGS.selection.model_dump(),
        gamma=SETTINGS.selection.gamma_for(CORPUS.corpus),
        unparsed=SETTINGS.visibility.unparsed,
        code=code_sha256("evaluation.resolve"),
    script:
        "../scripts/contrastive_set.py"


rule cell:
    input:
        features=f"{RESULTS}/benchmark/features/{{segmenter}}/{{backbone}}/{{dataset}}",
        texts=f"{RESULTS}/benchmark/texts/{{segmenter}}/{{backbone}}.parquet",
        dataset=f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
        set=f"{RESULTS}/benchmark/sets/{{dataset}}/{{set}}.json",
        checkpoint=checkpoint_file,
    output:
        multiext(
            f"{RESULTS}/benchmark/cells/{{segmenter}}/{{backbone}}/{{dataset}}/{{set}}/",
            "counts.parquet",
            "images.parquet",
            "taken.parquet",
        ),
    log:
        f"{RESULTS}/logs/cell/{{segmenter}}/{{backbone}}/{{dataset}}/{{set}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/cell/{{segmenter}}/{{backbone}}/{{dataset}}/{{set}}.tsv"
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=8000,
        runtime=480,
        gpu=GPU,
    params:
        segmenter=segmenter_settings,
        backbone=backbone_settings,
        data_dir=SETTINGS.data_dir,
        device=BENCHMARK.device,
        metrics=lambda wildcards: BENCHMARK.metrics(wildcards.set),
        beta=SETTINGS.selection.beta,
        code=code_sha256("evaluation.cell", "segmenters"),
    script:
        "../scripts/cell.py"


rule results:
    input:
        counts=[f"{cell_folder(cell)}/counts.parquet" for cell in CELLS],
        images=[f"{cell_folder(cell)}/images.parquet" for cell in CELLS],
        taken=[f"{cell_folder(cell)}/taken.parquet" for cell in CELLS],
        bounds=bound_files(),
        datasets=expand(
            f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
            dataset=BENCHMARK.datasets,
        ),
    output:
        scores=f"{RESULTS}/benchmark/scores.parquet",
        differences=f"{RESULTS}/benchmark/differences.parquet",
        classes=f"{RESULTS}/benchmark/classes.parquet",
        taken=f"{RESULTS}/benchmark/taken.parquet",
    log:
        f"{RESULTS}/logs/results.log",
    benchmark:
        f"{RESULTS}/benchmarks/results.tsv"
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        settings=SETTINGS.benchmark.model_dump(),
        code=code_sha256("evaluation.results"),
    script:
        "../scripts/results.py"


rule benchmark:
    input:
        BENCHMARK_TABLES,
    localrule: True
