"""The shipped SLURM profile on a real SLURM: every job goes through sbatch, and the dictionary is the local run's."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT
from .project import Project
from .slurm_node import Unavailable, slurm_node

pytestmark = pytest.mark.slurm

HERE = [
    # What this one node needs beyond the profile: it has no accounting, hence no sacct and no account.
    "--slurm-status-command", "squeue", "--slurm-no-account", "--slurm-init-seconds-before-status-checks", "5",
    "--default-resources", "slurm_partition=main", "mem_mb=1000", "runtime=10", "--latency-wait", "20",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    try:
        with slurm_node():
            yield
    except Unavailable as reason:
        pytest.skip(str(reason))


def submit(project: Project, profile: Path = ROOT / "profiles" / "slurm") -> str:
    return project.snakemake("--workflow-profile", str(profile), *HERE)


def dictionary_files(project: Project) -> dict[str, bytes]:
    folder = project.folder / "results" / "small" / "dictionary"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The dictionary that the same project leaves without a cluster."""
    project = Project(tmp_path_factory.mktemp("local"))
    project.snakemake()
    return dictionary_files(project)


def jobs_by_controller() -> list[str]:
    """The jobs so far, a member of an array being one: id, state, seconds, cores, memory."""
    command = ["squeue", "--states=all", "--array", "--noheader", "--format=%i %T %M %C %m"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_rule_that_asks_for_a_gpu_gets_one() -> None:
    command = ["srun", "--gres=gpu:1", "--mem=100", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip() == "0"


def test_the_dictionary_through_sbatch_is_the_local_one(local: dict[str, bytes], tmp_path: Path) -> None:
    project = Project(tmp_path)
    before = set(jobs_by_controller())
    log = submit(project)
    print(log)
    assert dictionary_files(project) == local
    jobs = [job for job in jobs_by_controller() if job not in before]
    print(*jobs, sep="\n")
    assert all("COMPLETED" in job for job in jobs)
    assert len(jobs) == log.count("SLURM jobid") >= 8


def test_shards_as_job_arrays(local: dict[str, bytes], tmp_path: Path) -> None:
    """The other way that the profile describes."""
    settings = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "config.yaml").write_text(yaml.safe_dump({**settings, "slurm-array-jobs": "match_shards"}))
    project = Project(tmp_path)
    project.config["matching"] = {"shards_per_job": 1}
    before = set(jobs_by_controller())
    log = submit(project, tmp_path / "profile")
    print(log)
    jobs = [job for job in jobs_by_controller() if job not in before]
    print(*jobs, sep="\n")
    found = dictionary_files(project)
    # The manifest has the configuration, which is another one.
    manifest, expected = (json.loads(files["manifest.json"]) for files in (found, local))
    assert manifest.pop("config") != expected.pop("config")
    assert manifest == expected
    assert found | {"manifest.json": b""} == local | {"manifest.json": b""}
    members = [job.split()[0].partition("_") for job in jobs]
    assert sorted(member for _, _, member in members if member) == ["1", "2", "3"]
