"""A benchmark's pass over the images, killed between two chunks: it goes on from there, with the same numbers."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import psutil
import pytest
import yaml

from ..project import Project

pytestmark = pytest.mark.faults
PIXELS = Path("results/small/benchmark/pixels/mask/toy/toyworld")
TABLES = ("counts", "taken", "images", "cells")


def tables(project: Project) -> list[pl.DataFrame]:
    return [pl.read_parquet(project.folder / PIXELS / f"{name}.parquet") for name in TABLES]


def kill_when(project: Project, ready: Callable[[], object], *options: str) -> bool:
    """Start a run and kill it with all its jobs as soon as something is there; whether it was still alive."""
    (project.folder / "config.yaml").write_text(yaml.safe_dump(project.config))
    run = subprocess.Popen(
        project.command(*options), cwd=project.folder, env=project.environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    while not ready() and run.poll() is None:
        time.sleep(0.01)
    alive = run.poll() is None
    jobs = psutil.Process(run.pid).children(recursive=True) if alive else []
    os.killpg(run.pid, signal.SIGKILL)
    run.wait(timeout=60)
    assert not psutil.wait_procs(jobs, timeout=10)[1]
    return alive


def test_a_pass_killed_between_two_chunks(tmp_path: Path, fault: Callable[[str, int, str], None]) -> None:
    project = Project(tmp_path)
    project.config["benchmark"] = {
        "segmenters": {"mask": {"method": "maskclip", "backbones": ["toy"]}},
        "backbones": {"toy": {"model": "toyworld-clip", "pretrained": None, "training_data": "none"}},
        "datasets": {"toyworld": {"kind": "toyworld", "images": 320, "seed": 1}},
        "sets": {"bg": {"kind": "background"}, "present": {"kind": "image_oracle"}},
        "protocol": {"short_side": 64, "long_side": 128, "window": 64, "stride": 32},
    }
    target = str(PIXELS / "counts.parquet")
    project.snakemake(target)
    undisturbed = tables(project)
    for table in (project.folder / PIXELS).iterdir():
        table.unlink()

    def chunks() -> list[Path]:
        return sorted((project.folder / PIXELS).glob("unfinished/*/" + "[0-9]" * 6))

    assert kill_when(project, lambda: len(chunks()) > 2, target)
    before = {path: path.stat().st_mtime_ns for path in chunks()}
    assert 2 < len(before) < 10
    project.snakemake("--unlock")
    # Killed once more, so that the chunks of the first run can be looked at while they are there.
    assert kill_when(project, lambda: len(chunks()) > len(before), target)
    assert before.items() <= {path: path.stat().st_mtime_ns for path in chunks()}.items()
    project.snakemake("--unlock")
    project.snakemake(target)
    assert not (project.folder / PIXELS / "unfinished").exists()
    for expected, found in zip(undisturbed, tables(project), strict=True):
        assert found.equals(expected)
    fault(
        "`kill -9` of a benchmark's run between two chunks of images, twice",
        2,
        "the undisturbed numbers of pixels; chunks stay",
    )
