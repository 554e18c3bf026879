"""Faults injected into real runs: nothing is lost, nothing wrong is published.

`pytest -m faults --reliability=docs/reliability.md` writes what happened as a table.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml

from .project import CONCEPTS, Project
from .scripted_model import ScriptedModel, scripted_model

pytestmark = pytest.mark.faults
STAGES = [
    "inspect_shard", "manifest", "vocabulary", "lexicon", "match_shard", "cooccurrence", "candidates", "visibility",
    "embeddings", "similarity", "dictionary",
]  # fmt: skip
Record = Callable[[str, int, str], None]


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with scripted_model({"freedom"}) as model:
        yield model


@pytest.fixture
def project(model: ScriptedModel, tmp_path: Path) -> Project:
    return new_project(tmp_path, model)


def new_project(folder: Path, model: ScriptedModel) -> Project:
    project = Project(folder)
    project.config["visibility"] = model.judge
    project.config["similarity"] = {
        "encoder": "open_clip", "model": "toyworld-clip", "pretrained": None, "templates": "photo"
    }  # fmt: skip
    return project


@pytest.fixture(scope="module")
def undisturbed(model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    project = new_project(tmp_path_factory.mktemp("undisturbed"), model)
    project.snakemake()
    return published(project)


def published(project: Project) -> dict[str, bytes]:
    folder = project.folder / "results" / "small" / "dictionary"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def kill_in(project: Project, stage: str, delay: float) -> bool:
    """Run with the stage forced, and kill everything `delay` seconds after its job has begun; whether that came true."""
    (project.folder / "config.yaml").write_text(yaml.safe_dump(project.config))
    logs = project.folder / "results" / "small" / "logs"
    started = time.time()
    run = subprocess.Popen(
        project.command("--forcerun", stage, "--rerun-incomplete", "--nolock"),
        cwd=project.folder, env=project.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    while run.poll() is None and not any(
        path.stat().st_mtime >= started for path in [*logs.glob(f"{stage}.log"), *logs.glob(f"{stage}/*.log")]
    ):
        time.sleep(0.02)
    time.sleep(delay)
    alive = run.poll() is None
    if alive:
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    return alive


def test_killed_in_every_stage(
    project: Project, undisturbed: dict[str, bytes], fault: Record, request: pytest.FixtureRequest
) -> None:
    chance = random.Random(0)
    # Two rounds for the page, which take minutes; one for CI.
    rounds = 2 if request.config.getoption("--reliability") else 1
    killed = sum(kill_in(project, stage, chance.uniform(0, 0.8)) for _ in range(rounds) for stage in STAGES)
    assert killed >= 10 * rounds
    project.snakemake("--rerun-incomplete")
    assert published(project) == undisturbed
    fault(
        "`kill -9` of a run and all its jobs, up to 0.8 s after a stage has begun", killed, "the undisturbed dictionary"
    )


def test_a_shard_that_vanishes_is_cut_short_or_changes(
    project: Project, undisturbed: dict[str, bytes], fault: Record
) -> None:
    project.snakemake()
    shard = project.folder / "data" / "part-1.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    said = project.snakemake(fails=True)
    assert "part-1.parquet" in said
    assert "Traceback" not in said
    assert published(project) == undisturbed
    shard.unlink()
    project.snakemake()
    assert project.dictionary.manifest.captions["rows"] == 4 * 8
    project.write_shard(1, ("a ship under the sky",))
    project.snakemake()
    assert project.dictionary.manifest.captions["rows"] == 6 * 8 + 1
    shard.write_bytes(whole)
    project.snakemake()
    assert published(project) == undisturbed
    fault("a shard cut short between two runs", 1, "one line that names it; the published dictionary untouched")
    fault("a shard removed, changed, restored", 3, "the dictionary of the shards that are there, each time")


def test_a_shard_that_changes_during_the_run(project: Project, fault: Record) -> None:
    project.snakemake("--until", "manifest")
    before = (project.folder / "data" / "part-2.parquet").stat()
    project.write_shard(2, ("a boat",))
    shard = project.folder / "data" / "part-2.parquet"
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    said = project.snakemake("--rerun-triggers", "mtime", fails=True)
    assert "part-2.parquet" in said
    assert not (project.folder / "results" / "small" / "dictionary").exists()
    fault("a shard that changes under the run's feet, its time stamp kept", 1, "refused by name; nothing published")


def test_a_second_run_in_the_same_folder(project: Project, undisturbed: dict[str, bytes], fault: Record) -> None:
    (project.folder / "config.yaml").write_text(yaml.safe_dump(project.config))
    first = subprocess.Popen(
        project.command(), cwd=project.folder, env=project.environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    locks = project.folder / ".snakemake" / "locks"
    while not (locks.is_dir() and any(locks.iterdir())):
        assert first.poll() is None
        time.sleep(0.02)
    assert "lock" in project.snakemake(fails=True).lower()
    assert first.wait(timeout=600) == 0
    assert published(project) == undisturbed
    fault("a second run started in the same folder", 1, "refused by the lock; the first ends as if alone")


def test_a_model_that_dies_and_comes_back(
    project: Project, model: ScriptedModel, undisturbed: dict[str, bytes], fault: Record
) -> None:
    model.asked.clear()
    model.limit = 4
    said = project.snakemake(fails=True)
    model.limit = None
    assert "500" in said
    assert not (project.folder / "results" / "small" / "dictionary").exists()
    project.snakemake()
    assert set(model.asked.values()) == {1}
    assert {word for _, word in model.asked} == set(CONCEPTS)
    assert published(project) == undisturbed
    fault("the language model's server lost after four answers", 1, "the rerun asks the other words only")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(project: Project, small_disk: Path, undisturbed: dict[str, bytes], fault: Record) -> None:
    (project.folder / "results").symlink_to(small_disk)
    said = project.snakemake(fails=True)
    assert "No space left" in said or "disk" in said.lower()
    assert not (small_disk / "small" / "dictionary" / "manifest.json").exists()
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    project.snakemake("--rerun-incomplete")
    assert published(project) == undisturbed
    fault(
        "a full disk (64 kB) below results/", 1, "the run fails, nothing is published; with room it ends as it should"
    )


def test_a_results_folder_that_cannot_be_written(
    project: Project, small_disk: Path, undisturbed: dict[str, bytes], fault: Record
) -> None:
    (project.folder / "results").symlink_to(small_disk)
    subprocess.run(["mount", "-o", "remount,ro,size=200m", str(small_disk)], check=True)
    assert "Read-only file system" in project.snakemake(fails=True)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    project.snakemake("--rerun-incomplete")
    assert published(project) == undisturbed
    fault(
        "results/ on a file system that cannot be written to",
        1,
        "the run fails and says so; once writable it ends as it should",
    )


HOSTILE = [
    "../../escape",
    "a/b",
    'quo"te',
    "it's $(touch escaped) `x`",
    "new\nline",
    "=1+1",
    "<script>alert(1)</script>",
]


def test_hostile_names_and_captions(project: Project, fault: Record) -> None:
    (project.folder / "data" / "concepts.json").write_text(json.dumps([*CONCEPTS, *HOSTILE]))
    project.config["vocabulary"] = {"source": "given", "path": "concepts.json"}
    captions = [f"a boat with {name} on the water" for name in HOSTILE] + ["boat " * 2_000_000, "\0\x1b[31m boat"]
    pl.DataFrame({"URL": ["http://x"] * len(captions), "TEXT": captions}).write_parquet(
        project.folder / "data" / "part-9.parquet"
    )
    project.snakemake()
    names = set(pl.read_parquet(project.folder / "results/small/dictionary/concepts.parquet")["concept"])
    assert {"../../escape", "a/b", "=1+1"} <= names
    assert not list(project.folder.rglob("escape*"))
    assert not (project.folder.parent / "escape").exists()
    fault(
        "names with slashes, quotes, newlines, `../`, shell and HTML; a caption of 10 MB",
        len(HOSTILE) + 2,
        "counted as text",
    )


@pytest.mark.parametrize("column", [[1, 2], [["a"], ["b"]], [b"\xff\xfe", b"a"]])
def test_a_column_of_the_wrong_type(column: list[object], project: Project, fault: Record) -> None:
    pl.DataFrame({"TEXT": column}).write_parquet(project.folder / "data" / "part-9.parquet")
    binary = isinstance(column[0], bytes)
    said = project.snakemake(fails=not binary)
    assert binary or "part-9.parquet" in said
    assert "Traceback" not in said
    what = "its valid captions count" if binary else "one line that names file and type"
    fault(f"a caption column of {pl.Series(column).dtype}", 1, what)
