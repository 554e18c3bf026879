"""What a run depends on fails: the disk, the language model, and another run in the same folder."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ..project import CONCEPTS
from ..scripted_model import ScriptedModel
from .conftest import Disturbed

pytestmark = pytest.mark.faults
Record = Callable[[str, int, str], None]


def test_a_second_run_in_the_same_folder(done: Disturbed, undisturbed: dict[str, bytes], fault: Record) -> None:
    """The first is held in its first job, so that the second, however slow its start, finds it at work."""
    (done.folder / "config.yaml").write_text(yaml.safe_dump(done.config))
    first = subprocess.Popen(
        done.command("--forcerun", "match_shards"), cwd=done.folder, env=done.environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    locks = done.folder / ".snakemake" / "locks"
    while not any(lock.stat().st_size for lock in locks.glob("*.output.lock")):
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(signal.SIGSTOP)
    try:
        assert "lock" in done.snakemake("--forcerun", "match_shards", fails=True).lower()
    finally:
        first.send_signal(signal.SIGCONT)
    assert first.wait(timeout=600) == 0
    assert done.published() == undisturbed
    fault("a second run started in the same folder", 1, "refused by the lock; the first ends as if alone")


def test_a_model_that_dies_and_comes_back(
    done: Disturbed, model: ScriptedModel, undisturbed: dict[str, bytes], fault: Record
) -> None:
    for path in (done.results / "visibility", done.results / "dictionary", done.folder / "results" / "answers.duckdb"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    model.asked.clear()
    model.limit = 4
    said = done.snakemake(fails=True)
    model.limit = None
    assert "500" in said
    assert not (done.results / "dictionary").exists()
    done.snakemake()
    assert set(model.asked.values()) == {1}
    assert {word for _, word in model.asked} == set(CONCEPTS)
    assert done.published() == undisturbed
    fault("the language model's server lost after four answers", 1, "the rerun asks the other words only")


@pytest.fixture
def disk(done: Disturbed, tmp_path: Path) -> Iterator[Path]:
    """results/ of all that has run, on a file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    shutil.move(done.folder / "results", folder / "results")
    (done.folder / "results").symlink_to(folder / "results")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("room", [0, 8, 16])
def test_a_full_disk(room: int, done: Disturbed, disk: Path, undisturbed: dict[str, bytes], fault: Record) -> None:
    """kB of room: for no log; for some of the dictionary's files, six of which take 24."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(filler, filler.stat().st_size - room * 1024)
    said = done.snakemake("--forcerun", "selection", fails=True)
    assert "No space left" in said, said
    assert done.published() == undisturbed
    filler.unlink()
    done.snakemake()
    assert done.published() == undisturbed
    fault(
        f"a disk below results/ with room for {room} kB",
        1,
        "fails and says so; the old dictionary stays; with room it ends as it should",
    )


def test_a_results_folder_that_cannot_be_written(
    done: Disturbed, disk: Path, undisturbed: dict[str, bytes], fault: Record
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert "Write-protected output files" in done.snakemake("--forcerun", "selection", fails=True)
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    done.snakemake("--forcerun", "selection")
    assert done.published() == undisturbed
    fault(
        "results/ on a file system that cannot be written to",
        1,
        "the run names the files and fails; once writable it ends as it should",
    )
