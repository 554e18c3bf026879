rule query_concepts:
    input:
        dictionary=dictionary_files(f"{RESULTS}/dictionary"),
        dataset=f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
    output:
        f"{RESULTS}/benchmark/queries/{{dataset}}.parquet",
    log:
        f"{RESULTS}/logs/query_concepts/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/usage/query_concepts/{{dataset}}.tsv"
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=30,
    params:
        code=code_of("query_concepts"),
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
    benchmark:
        f"{RESULTS}/usage/contrastive_set/{{dataset}}/{{set}}.tsv"
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=30,
    params:
        name="{set}",
        settings=lambda wildcards: BENCHMARK.sets[wildcards.set].model_dump(),
        selection=selection_of,
        code=code_of("contrastive_set"),
    script:
        "../scripts/contrastive_set.py"


rule cell:
    input:
        features=f"{RESULTS}/benchmark/features/{{segmenter}}/{{backbone}}/{{dataset}}",
        # ancient: embeddings added for other sets do not change this cell. The parameters cover how they are computed.
        texts=ancient(f"{RESULTS}/benchmark/texts/{{segmenter}}/{{backbone}}.parquet"),
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
        f"{RESULTS}/usage/cell/{{segmenter}}/{{backbone}}/{{dataset}}/{{set}}.tsv"
    conda:
        "../../envs/segmenters.yaml"
    resources:
        **gpus(GPU),
        mem_mb=growing(8000),
        runtime=480,
    params:
        segmenter=segmenter_settings,
        backbone=backbone_settings,
        data_dir=SETTINGS.data_dir,
        device=BENCHMARK.device,
        metrics=lambda wildcards: BENCHMARK.metrics(wildcards.set, wildcards.segmenter),
        beta=SETTINGS.selection.beta,
        code=code_of("cell"),
    script:
        "../scripts/cell.py"


if SWEEP:
    import pandas
    from snakemake.utils import Paramspace

    SWEEPS = Paramspace(pandas.DataFrame(SWEEP))

    use rule contrastive_set as sweep_set with:
        output:
            f"{RESULTS}/benchmark/sweep_sets/{{threshold}}~{{value}}/{{dataset}}/{{set}}.json",
        log:
            f"{RESULTS}/logs/sweep_set/{{threshold}}~{{value}}/{{dataset}}/{{set}}.log",
        benchmark:
            f"{RESULTS}/usage/sweep_set/{{threshold}}~{{value}}/{{dataset}}/{{set}}.tsv"
        params:
            name="{set}",
            settings=lambda wildcards: {
                **BENCHMARK.sets[wildcards.set].model_dump(),
                wildcards.threshold: float(wildcards.value),
            },
            selection=selection_of,
            code=code_of("contrastive_set"),

    use rule cell as sweep_cell with:
        input:
            features=f"{RESULTS}/benchmark/features/{{segmenter}}/{{backbone}}/{{dataset}}",
            texts=ancient(
                f"{RESULTS}/benchmark/texts/{{segmenter}}/{{backbone}}.parquet"
            ),
            dataset=f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
            set=lambda wildcards: set_file(SweepPoint(**dict(wildcards.items()))),
            checkpoint=checkpoint_file,
        output:
            multiext(
                f"{RESULTS}/benchmark/sweeps/{SWEEPS.wildcard_pattern}/",
                "counts.parquet",
                "images.parquet",
                "taken.parquet",
            ),
        log:
            f"{RESULTS}/logs/sweeps/{SWEEPS.wildcard_pattern}.log",
        benchmark:
            f"{RESULTS}/usage/sweeps/{SWEEPS.wildcard_pattern}.tsv"
        params:
            segmenter=segmenter_settings,
            backbone=backbone_settings,
            data_dir=SETTINGS.data_dir,
            device=BENCHMARK.device,
            metrics=lambda wildcards: [SweepPoint(**dict(wildcards.items())).metric],
            beta=lambda wildcards: (
                float(wildcards.value)
                if wildcards.threshold == "beta"
                else SETTINGS.selection.beta
            ),
            code=code_of("cell"),


rule results:
    input:
        counts=[
            f"{RESULTS}/benchmark/{cell.folder}/counts.parquet"
            for cell in [*CELLS, *SWEEP]
        ],
        bounds=[
            f"{RESULTS}/benchmark/bounds/{'/'.join(encoding)}.parquet"
            for encoding in BENCHMARK.encodings()
        ],
        datasets=expand(
            f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
            dataset=BENCHMARK.datasets,
        ),
    output:
        scores=f"{RESULTS}/benchmark/scores.parquet",
        sweeps=f"{RESULTS}/benchmark/sweeps.parquet",
        differences=f"{RESULTS}/benchmark/differences.parquet",
        classes=f"{RESULTS}/benchmark/classes.parquet",
        taken=f"{RESULTS}/benchmark/taken.parquet",
    log:
        f"{RESULTS}/logs/results.log",
    benchmark:
        f"{RESULTS}/usage/results.tsv"
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=growing(8000),
        runtime=60,
    params:
        settings=BENCHMARK.model_dump(),
        code=code_of("results"),
    script:
        "../scripts/results.py"


rule tables:
    input:
        scores=f"{RESULTS}/benchmark/scores.parquet",
        sweeps=f"{RESULTS}/benchmark/sweeps.parquet",
        differences=f"{RESULTS}/benchmark/differences.parquet",
        classes=f"{RESULTS}/benchmark/classes.parquet",
        taken=f"{RESULTS}/benchmark/taken.parquet",
        published=local(str(RESOURCES / "paper_tables.json")),
    output:
        tables=report(
            directory(f"{RESULTS}/benchmark/tables"),
            patterns=["table_{number}.csv"],
            caption="../report/tables.rst",
            category="Benchmark",
            labels={"what": "Table {number}"},
        ),
        summary=report(
            f"{RESULTS}/benchmark/summary.md",
            caption="../report/tables.rst",
            category="Benchmark",
            labels={"what": "tables, differences, classes"},
        ),
    log:
        f"{RESULTS}/logs/tables.log",
    localrule: True
    conda:
        "../../envs/segmenters.yaml"
    params:
        code=code_of("tables"),
    script:
        "../scripts/tables.py"
