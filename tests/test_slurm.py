"""The shipped SLURM profile on a real SLURM: every job goes through sbatch, and the dictionary is the local run's."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def dictionary_files(project: Project) -> dict[str, bytes]:
    folder = project.folder / "results" / "small" / "dictionary"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_rule_that_asks_for_a_gpu_gets_one() -> None:
    command = ["srun", "--gres=gpu:1", "--mem=100", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES"]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip() == "0"


def test_the_dictionary_through_sbatch_is_the_local_one(tmp_path: Path) -> None:
    local, cluster = (tmp_path / name for name in ("local", "cluster"))
    local.mkdir()
    cluster.mkdir()
    one, two = Project(local), Project(cluster)
    one.snakemake()
    log = two.snakemake("--workflow-profile", str(ROOT / "profiles" / "slurm"), *HERE)
    assert log.count("SLURM jobid") >= 8, log[-3000:]
    assert dictionary_files(one) == dictionary_files(two)
    jobs = subprocess.run(
        ["squeue", "--states=all", "--noheader", "--format=%i %j %T %m %l"], capture_output=True, text=True, check=True
    ).stdout
    assert jobs.count("COMPLETED") >= 8
    print(jobs)
