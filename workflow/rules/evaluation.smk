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
    priority: 10
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=30,
    params:
        code=code_of("query_concepts"),
    script:
        "../scripts/query_concepts.py"


rule seen_together:
    input:
        queries=f"{RESULTS}/benchmark/queries/{{dataset}}.parquet",
        concepts=f"{RESULTS}/cooccurrence/concepts.parquet",
        matrix=f"{RESULTS}/cooccurrence/cooccurrence.npz",
    output:
        f"{RESULTS}/benchmark/seen_together/{{dataset}}.parquet",
    log:
        f"{RESULTS}/logs/seen_together/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/usage/seen_together/{{dataset}}.tsv"
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=30,
    params:
        code=code_of("seen_together"),
    script:
        "../scripts/seen_together.py"


rule contrastive_sets:
    input:
        unpack(set_inputs),
        dataset=f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
    output:
        f"{RESULTS}/benchmark/sets/{{dataset}}.json",
    log:
        f"{RESULTS}/logs/contrastive_sets/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/usage/contrastive_sets/{{dataset}}.tsv"
    priority: 10
    conda:
        "../../envs/segmenters.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=30,
    params:
        sets=lambda wildcards: set_settings(wildcards.dataset),
        folders=lambda wildcards: {
            folder: data_path(SETTINGS, folder)
            for folder in set_folders(BENCHMARK.sets)
        },
        texts=lambda wildcards: set_texts(wildcards.dataset),
        words=lambda wildcards: set_words(wildcards.dataset),
        synonyms=lambda wildcards: {
            name: data_path(SETTINGS, path)
            for name, path in set_synonyms(wildcards.dataset).items()
        },
        selection=selection_of,
        code=code_of("contrastive_sets"),
    script:
        "../scripts/contrastive_sets.py"


PIXELS = f"{RESULTS}/benchmark/pixels/{{segmenter}}/{{backbone}}/{{dataset}}"
FEATURES = f"{RESULTS}/benchmark/features/{{segmenter}}/{{backbone}}/{{dataset}}"


rule pixel_counts:
    input:
        unpack(dataset_files),
        **SEEN_TOGETHER,
        description=f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
        sets=f"{RESULTS}/benchmark/sets/{{dataset}}.json",
        # Embeddings added for other sets change nothing here, but are not ancient(): Snakemake then leaves out a job whose
        # parameters changed if the embeddings are made again. The job keeps what it has.
        texts=lambda wildcards: texts_file(wildcards.segmenter, wildcards.backbone),
        weights=weight_files,
    output:
        **(
            {"features": KEPT(directory(FEATURES))}
            if BENCHMARK.features == "kept"
            else {}
        ),
        # The job keeps the experiments that the files already contain.
        **({"presence": KEPT(f"{PIXELS}/presence.parquet")} if ABSENT else {}),
        counts=KEPT(f"{PIXELS}/counts.parquet"),
        taken=KEPT(f"{PIXELS}/taken.parquet"),
        images=KEPT(f"{PIXELS}/images.parquet"),
        cells=KEPT(f"{PIXELS}/cells.parquet"),
        scored=KEPT(f"{PIXELS}/scored.json"),
    log:
        f"{RESULTS}/logs/pixel_counts/{{segmenter}}/{{backbone}}/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/usage/pixel_counts/{{segmenter}}/{{backbone}}/{{dataset}}.tsv"
    # The longest jobs of a run, and what they wait for, come before the figures; the longest of them first.
    priority: lambda wildcards: 10 + len(BENCHMARK.experiments(**wildcards))
    conda:
        "../../envs/segmenters.yaml"
    threads: segmenting_threads
    resources:
        **gpus(GPU),
        mem_mb=growing(8000),
        runtime=720,
    params:
        **ASKED_ABSENT,
        segmenter=segmenter_settings,
        backbone=backbone_settings,
        dataset=lambda wildcards: BENCHMARK.datasets[wildcards.dataset].model_dump(),
        data_dir=SETTINGS.data_dir,
        protocol=lambda wildcards: protocol_of(wildcards).model_dump(),
        features=BENCHMARK.features,
        precision=BENCHMARK.precision,
        device=BENCHMARK.device,
        experiments=lambda wildcards: BENCHMARK.experiments(
            wildcards.segmenter, wildcards.backbone, wildcards.dataset
        ),
        beta=SETTINGS.selection.beta,
        code=code_of("pixel_counts"),
    script:
        "../scripts/pixel_counts.py"


rule results:
    input:
        counts=[
            f"{RESULTS}/benchmark/pixels/{'/'.join(encoding)}/counts.parquet"
            for encoding in BENCHMARK.encodings()
        ],
        others=[
            f"{RESULTS}/benchmark/pixels/{'/'.join(encoding)}/{name}.parquet"
            for encoding in BENCHMARK.encodings()
            for name in ("taken", "images", "cells", *(["presence"] if ABSENT else []))
        ],
        datasets=expand(
            f"{RESULTS}/benchmark/datasets/{{dataset}}.json",
            dataset=BENCHMARK.datasets,
        ),
        sets=expand(f"{RESULTS}/benchmark/sets/{{dataset}}.json", dataset=WITH_SETS),
        texts=[
            texts_file(segmenter, backbone)
            for segmenter, backbone, _ in BENCHMARK.encodings()
        ],
        # What is known of the classes' concepts, if they are those of this run.
        queries=expand(
            f"{RESULTS}/benchmark/queries/{{dataset}}.parquet", dataset=COUNTED_NAMES
        ),
        concepts=f"{RESULTS}/dictionary/concepts.parquet" if COUNTED_NAMES else [],
        published=local(str(RESOURCES / "paper_tables.json")),
    output:
        **(
            {
                "absent": f"{RESULTS}/benchmark/absent.parquet",
                "absent_differences": f"{RESULTS}/benchmark/absent_differences.parquet",
            }
            if ABSENT
            else {}
        ),
        scores=f"{RESULTS}/benchmark/scores.parquet",
        sweeps=f"{RESULTS}/benchmark/sweeps.parquet",
        differences=f"{RESULTS}/benchmark/differences.parquet",
        classes=f"{RESULTS}/benchmark/classes.parquet",
        taken=f"{RESULTS}/benchmark/taken.parquet",
        gains=f"{RESULTS}/benchmark/gains.parquet",
        gains_page=report(
            f"{RESULTS}/benchmark/gains.md",
            caption="../report/gains.rst",
            category="Benchmark",
            labels={"what": "CC_D - BG: where it helps, where it hurts"},
        ),
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
        set_sizes=report(
            f"{RESULTS}/benchmark/set_sizes.csv",
            caption="../report/set_sizes.rst",
            category="Benchmark",
            labels={"what": "Contrastive sets: |CC| and scores"},
        ),
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
        with_sets=WITH_SETS,
        counted=COUNTED_NAMES,
        code=code_of("results"),
    script:
        "../scripts/results.py"
