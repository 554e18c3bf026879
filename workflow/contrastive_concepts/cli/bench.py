"""`contrastive-concepts bench`: time and memory of the expensive stages on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from contrastive_concepts.cli.repository import import_from_repository

NOTE = (
    "Load: the machine's load average after a measurement; above its number of cores, other jobs had a part of them.\n"
    "A likelihood request to the server carries eight words, each after twelve contexts; in process the contexts are "
    "read once."
)

app = typer.Typer(help="Measure speed and memory on this machine.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure speed and memory on this machine."""
    import_from_repository("bench")


@app.command()
def segmentation(
    photos: Annotated[
        Path | None, typer.Option(help="Folder ADEChallengeData2016. By default images are generated.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Number of images that both methods segment.")] = 2,
    model: Annotated[
        str, typer.Option(help="open_clip's name of an architecture. The weights are random.")
    ] = "ViT-B-16",
    method: Annotated[str, typer.Option(help="Segmenter without trained heads, such as maskclip or gem.")] = "maskclip",
    costs: Annotated[
        int, typer.Option(help="Instead, compare the costs of all methods without trained heads in this many rounds.")
    ] = 0,
    memory: Annotated[
        str, typer.Option(help="Also measure peak memory for these numbers of generated images, such as 16,64,256.")
    ] = "",
    questions: Annotated[
        bool, typer.Option("--questions", help="Instead, measure what a question costs beside encoding a photo once.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(help="Instead, segment the photos of this folder, and compare with encoding them alone."),
    ] = None,
    device: Annotated[str, typer.Option(help="With --folder: auto, cpu, cuda, ...")] = "auto",
    peak_of: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Compare IoU-single with each image encoded once to a full forward pass for each image, class and set.

    Both methods segment the same images, with eight classes per image and four contrastive sets. Their results must be
    equal."""
    import open_clip

    from benchmarks.segmentation import (
        ade_photos,
        compare_ways,
        folder_cost,
        generated,
        method_costs,
        peak_memory_mb,
        question_costs,
        random_segmenter,
    )
    from contrastive_concepts.errors import UserError
    from contrastive_concepts.markup import markdown_table

    if model not in open_clip.list_models():
        raise UserError(f"--model: found {model!r}, expected a model that open_clip lists")
    if peak_of:
        print(json.dumps(round(peak_memory_mb(random_segmenter(method, model), generated(peak_of)))))
        return
    if folder is not None:
        print(f"{method}, {model}. {folder_cost(folder, method, model, device)}")
        return
    if questions:
        chosen = random_segmenter(method, model)
        found = [question_costs(chosen, (480, 640), 20), question_costs(chosen, (3000, 4000), 200, rounds=2)]
        columns = ("photo", "negatives", "encode, s", "ask, s", "(encode + ask) / encode", "peak, MB")
        cells = [
            (f"{q.photo[0]} x {q.photo[1]}", str(q.negatives), f"{q.encode:.2f}", f"{q.ask:.3f}",
             f"{1 + q.ask / q.encode:.2f}", f"{q.peak:.0f}")
            for q in found
        ]  # fmt: skip
        print(f"{method}, {model}; medians.\n")
        print(markdown_table(columns, cells))
        return
    samples = list(generated(images) if photos is None else ade_photos(photos, images))
    if costs:
        head = ("method", "encode, s", "score, s", "both / MaskCLIP")
        rows = [
            (c.method, f"{c.encode:.2f}", f"{c.score:.2f}", f"{c.ratio:.2f}")
            for c in method_costs(model, samples, costs)
        ]
        print(f"Processor seconds an image, {model}, medians of {costs} rounds over {len(samples)} images.\n")
        print(markdown_table(head, rows))
        return
    print(f"{method}, {model}, {'generated images' if photos is None else 'photos'}")
    print(compare_ways(random_segmenter(method, model), samples), flush=True)
    for count in (int(part) for part in memory.split(",") if part):
        command = [sys.executable, "-m", "contrastive_concepts", "bench", "segmentation", "--peak-of", str(count)]
        done = subprocess.run(
            [*command, "--model", model, "--method", method], stdout=subprocess.PIPE, text=True, check=True
        )
        print(f"{count} images: peak {json.loads(done.stdout)} MB", flush=True)


@app.command()
def judge(
    vocabulary: Annotated[Path, typer.Argument(help="List of concepts, one per line.")],
    words: Annotated[int, typer.Option(help="Number of words in each measurement, spread over the list.")] = 128,
    vllm_python: Annotated[
        Path | None,
        typer.Option(help="Python of vLLM's environment (envs/vllm_cpu.py). By default no server is measured."),
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Markdown page whose section `Judge` is replaced.")] = None,
) -> None:
    """Measure the judges in words per second: a vLLM server, a language model in process, and the embedding."""
    import tempfile

    from benchmarks.judging import WARM_UP, cpu_server, measure_judges
    from benchmarks.page import machine, write_section
    from contrastive_concepts.config.visibility import TransformersJudge
    from contrastive_concepts.markup import markdown_table
    from contrastive_concepts.visibility.in_process import InProcessJudge
    from contrastive_concepts.vocabulary.concepts import read_names

    names = list(dict.fromkeys(read_names(vocabulary)))
    sampled = names[:: max(1, len(names) // (words + WARM_UP))][: words + WARM_UP]
    with tempfile.TemporaryDirectory() as folder:
        server = None
        if vllm_python is not None:
            InProcessJudge(TransformersJudge(judge="transformers")).save(Path(folder))
            server = cpu_server(vllm_python, Path(folder))
        rows = []
        for t in measure_judges(sampled, server):
            rows.append((t.judge, t.form, t.at_once, f"{t.words_per_second:.2f}", f"{t.load:.1f}"))
            print(*rows[-1], flush=True)
    text = f"{len(sampled) - WARM_UP} concepts of `{vocabulary.name}`, SmolLM2-135M-Instruct in fp32, all-MiniLM-L6-v2 "
    text += f"as embedding; {machine()}.\n{NOTE}\n\n"
    text += markdown_table(["judge", "form", "requests or words at once", "words/s", "load"], rows)
    if page is not None:
        write_section(page, "Judge", text)


@app.command()
def mining(
    captions: Annotated[list[Path], typer.Argument(help="Files of real captions, from which corpora are sampled.")],
    vocabulary: Annotated[Path, typer.Option(help="List of a few thousand concepts, one per line.")],
    large_vocabulary: Annotated[
        Path, typer.Option(help="List of about ten thousand concepts, the most frequent last.")
    ],
    unseen: Annotated[
        list[Path] | None, typer.Option(help="Files for the agreement with spaCy. Odd rows are used.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Measure only: speed, others, growth, vocabulary, agreement, corpus, lookup or embedding."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Use small sizes, as a test.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Markdown page whose sections `Mining: ...` are replaced.")
    ] = None,
) -> None:
    """Measure speed, memory and agreement of the matching against other tools, lookups, and text embeddings."""
    import tempfile

    from benchmarks.mining import PARTS
    from benchmarks.page import machine, write_section
    from benchmarks.setting import QUICK, Bench, Sizes
    from contrastive_concepts.errors import UserError
    from contrastive_concepts.vocabulary.concepts import read_names

    if unknown := [part for part in only or [] if part not in PARTS]:
        raise UserError(f"--only: found {unknown[0]!r}, expected one of {', '.join(PARTS)}")
    with tempfile.TemporaryDirectory() as folder:
        names = read_names(vocabulary), read_names(large_vocabulary)
        bench = Bench(Path(folder), captions, unseen or [], *names, QUICK if quick else Sizes())
        for part in only or PARTS:
            load = os.getloadavg()[0]
            text = f"{PARTS[part](bench)}\nOn {machine()}, load average {load:.1f} when it began.\n"
            print(f"## Mining: {part}\n\n{text}", flush=True)
            if output is not None:
                write_section(output, f"Mining: {part}", text)


@app.command()
def workflow(
    captions: Annotated[
        list[Path] | None,
        typer.Argument(help="Files of real captions for the second row, of which the first gives the lengths."),
    ] = None,
    vocabulary: Annotated[Path | None, typer.Option(help="List of concepts for the second row, one per line.")] = None,
    shards: Annotated[int, typer.Option(min=1, help="Number of shards.")] = 16,
    rows: Annotated[int, typer.Option(min=1, help="Captions of a shard.")] = 1_000_000,
    default: Annotated[bool, typer.Option("--default/--no-default", help="Measure the default run.")] = True,
    output: Annotated[Path | None, typer.Option(help="Markdown page whose section `Workflow` is replaced.")] = None,
) -> None:
    """Measure whole runs: the embedded default, and with captions also many shards up to the matrix X.

    Each runs through Snakemake in a fresh copy of this repository, with the packages that are installed."""
    import tempfile

    from benchmarks.page import machine, write_section
    from benchmarks.workflow import Workflow, default_run, shards_to_matrix
    from contrastive_concepts.errors import UserError
    from contrastive_concepts.markup import markdown_table
    from contrastive_concepts.resources import PACKAGE

    if captions and vocabulary is None:
        raise UserError("--vocabulary: found none, expected the list of concepts to count in the captions")
    repository, load = PACKAGE.parents[1], os.getloadavg()[0]
    rows_of_page: list[tuple[str, ...]] = []

    def measured(what: str, run: Workflow) -> None:
        row = (what, f"{run.seconds:.0f}", f"{run.cpu_seconds:.0f}", str(run.jobs), f"{run.peak_mb:.0f}")
        rows_of_page.append(row)
        print(*row, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        if default:
            measured("the default run", default_run(repository, Path(folder) / "default"))
        if captions and vocabulary is not None:
            run = shards_to_matrix(repository, Path(folder) / "shards", captions, vocabulary, shards, rows)
            measured(f"{shards} shards of {rows:,} captions to X", run)
    head = ["what", "seconds", "of processors", "jobs", "largest job, MB"]
    text = f"{markdown_table(head, rows_of_page)}\nOn {machine()}, load average {load:.1f} when it began.\n"
    print(text)
    if output is not None:
        write_section(output, "Workflow", text)
