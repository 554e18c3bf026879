"""Runs and single jobs killed at any moment of any stage: the dictionary stays, and the rerun ends as if alone."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml

from .conftest import STAGES, Disturbed

pytestmark = pytest.mark.faults
KINDS = ("run", "publication", "job")
"""What is killed when: the run and all its jobs while a stage runs, the same while it writes, one job alone."""


class Run:
    """A run of one stage, begun anew, in a session of its own."""

    def __init__(self, project: Disturbed, stage: str) -> None:
        (project.folder / "config.yaml").write_text(yaml.safe_dump(project.config))
        self.stage, self.log, self._folder = stage, project.folder / "run.log", project.results
        self._started = time.time_ns()
        if stage == "visibility":  # its verdicts are protected; who wants them anew removes them
            (project.results / "visibility" / "visibility.parquet").unlink(missing_ok=True)
        if stage == "match_shards":  # it keeps what it counted of each shard
            shutil.rmtree(project.results / "cooccurrence" / "shards", ignore_errors=True)
        with self.log.open("w") as log:
            self._run = subprocess.Popen(
                project.command("--forcerun", stage, "--until", stage), cwd=project.folder, env=project.environment,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @property
    def ended(self) -> bool:
        return self._run.poll() is not None

    def job(self) -> psutil.Process | None:
        """The stage's script, where it runs."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._run.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    command = process.cmdline()
                    if command and "python" in command[0] and command[-1].endswith(f".{self.stage}.py"):
                        return process
        return None

    def wait_for(self, what: Callable[[], object]) -> object:
        """Until there is any, or the run has ended."""
        while not (found := what()) and not self.ended:
            time.sleep(0.005)
        return found

    def has_written(self, outputs: list[Path]) -> bool:
        """Any of the outputs; of the dictionary the folder that will take its place."""
        paths = self._folder.glob(".dictionary-*") if self.stage == "dictionary" else outputs
        with contextlib.suppress(FileNotFoundError):
            return any(path.stat().st_mtime_ns > self._started for path in paths if path.exists())
        return False

    def kill(self) -> bool:
        """The run and all its jobs; whether the stage's job was alive."""
        alive = self.job() is not None
        every = psutil.Process(self._run.pid).children(recursive=True)
        os.killpg(self._run.pid, signal.SIGKILL)
        self.end()
        assert not psutil.wait_procs(every, timeout=10)[1]
        return alive

    def end(self) -> int:
        return self._run.wait(timeout=600)


def test_killed_at_any_moment_of_any_stage(
    done: Disturbed,
    undisturbed: dict[str, bytes],
    fault: Callable[[str, int, str], None],
    request: pytest.FixtureRequest,
) -> None:
    chance = random.Random(0)
    jobs = done.jobs()
    # For the page each stage in two of the three ways, which takes minutes; for CI in one.
    rounds = 1 if request.config.getoption("--reliability") is None else 2
    every = [(KINDS[(number + turn) % 3], stage) for turn in range(rounds) for number, stage in enumerate(STAGES)]
    hits: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    locked: set[str] = set()
    for kind, stage in every:
        longest, outputs = jobs[stage]
        hit = None
        while hit is None:
            run = Run(done, stage)
            run.wait_for(run.job)
            hit, longest = (
                kill_one(run, chance, longest) if kind == "job" else kill_all(run, chance, longest, kind, outputs)
            )
        hits[kind].append(hit)
        print(f"{time.process_time():.0f} s: {kind} in {stage}, {hit=}")
        assert done.published() == undisturbed, (kind, stage)
        if kind != "job":
            # A run that was at its end may have given its lock back.
            if hit and kind not in locked:
                locked.add(kind)
                assert "--unlock" in done.snakemake("--forcerun", stage, fails=True)
            done.snakemake("--unlock")
    done.snakemake()
    assert done.published() == undisturbed
    assert locked
    assert sum(map(sum, hits.values())) > len(every) / 2
    for kind, what in (
        ("run", "`kill -9` of a run and all its jobs, at a random moment from a stage's start to its end"),
        ("publication", "the same within 0.1 s of a stage's first output, or of the dictionary's first file"),
        ("job", "`kill -9` of one job alone, at a random moment: the run names the rule and fails, or tries again"),
    ):
        outcome = f"the undisturbed dictionary, at all times; {sum(hits[kind])} hit a living job"
        fault(what, len(hits[kind]), outcome)


def kill_all(
    run: Run, chance: random.Random, longest: float, kind: str, outputs: list[Path]
) -> tuple[bool | None, float]:
    """Whether the stage's job was alive when the run was killed, None where the run had ended; a job's seconds."""
    if kind == "publication":
        run.wait_for(lambda: run.has_written(outputs))
        time.sleep(chance.uniform(0, 0.1))
    else:
        end = time.monotonic() + chance.uniform(0, longest * 1.05)
        run.wait_for(lambda: time.monotonic() > end or not run.job())
    if run.ended:
        return None, longest
    return run.kill(), longest


def kill_one(run: Run, chance: random.Random, longest: float) -> tuple[bool | None, float]:
    """The same, of the stage's job alone. Where it ended before, the next try knows how long it takes."""
    started = time.monotonic()
    end = started + chance.uniform(0, longest)
    run.wait_for(lambda: time.monotonic() > end or not run.job())
    job = run.job()
    if job is None:
        run.end()
        return None, time.monotonic() - started
    job.kill()
    failed = run.end() != 0
    said = run.log.read_text()
    assert f"Error in rule {run.stage}" in said
    assert "Traceback" not in said
    # One rule says itself that it is tried again.
    assert failed == (run.stage != "visibility"), said
    return True, longest
