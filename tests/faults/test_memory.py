"""A job that needs more memory than it asked for: killed by the kernel, tried again with twice as much, and fine."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ..snakemake_server import imported_anew
from .conftest import Disturbed

pytestmark = pytest.mark.faults
MEMORY = Path("/sys/fs/cgroup/memory") if Path("/sys/fs/cgroup/memory").is_dir() else Path("/sys/fs/cgroup")
MB = 10**6


@pytest.fixture
def groups() -> Iterator[Path]:
    """Where control groups with a limit of memory can be made."""
    folder = MEMORY / f"faults-{os.getpid()}"
    try:
        folder.mkdir()
        if (folder / "cgroup.subtree_control").exists():
            (folder / "cgroup.subtree_control").write_text("+memory")
    except OSError as error:
        pytest.skip(f"control groups of memory cannot be made here: {error}")
    yield folder
    for group in [*folder.glob("job-*"), folder]:
        group.rmdir()


def write_heavy_shard(path: Path) -> None:
    """One row group of 1.4 GB, not packed: it is held in memory as a whole, beside what matching takes."""
    caption = "a boat on the water " * 5_000  # 100,000 bytes, the longest that is matched
    batch = pa.array([caption] * 1_000)
    table = pa.table({"TEXT": pa.chunked_array([batch] * 13)})
    pq.write_table(
        table, path, row_group_size=1 << 30, compression="none", use_dictionary=False, write_statistics=False
    )


def test_a_job_that_runs_out_of_memory(
    done: Disturbed, groups: Path, tmp_path: Path, fault: Callable[[str, int, str], None]
) -> None:
    """The rule's own memory: 1500 MB for a matching with one thread, twice that at the second attempt."""
    write_heavy_shard(done.folder / "data" / "part-9.parquet")
    alone = Disturbed.__new__(Disturbed)
    alone.folder, alone.config = tmp_path / "alone", done.config
    shutil.copytree(done.folder, alone.folder, copy_function=link_shards)
    plugins = str(Path(__file__).with_name("executors"))
    done.environment = {**done.environment, "PYTHONPATH": plugins, "CONFINED_GROUPS": str(groups)}
    done.start = imported_anew
    said = done.snakemake("--executor", "confined", "--jobs", "2", "--retries", "1", "--set-threads", "match_shards=1")
    attempts = sorted(group for group in groups.glob("job-*") if kills(group) or group.name.endswith("-2"))
    # One process or several of the attempt: the kernel kills until there is room.
    assert [kills(group) > 0 for group in attempts] == [True, False]
    assert [round(limit_of(group) / MB) for group in attempts] == [1500, 3000]
    assert "Error in rule match_shards" in said
    assert (
        json.loads(next((done.results / "cooccurrence/shards").glob("part-9-*.json")).read_text())["statistics"][
            "matched"
        ]
        == 13_000
    )
    alone.snakemake()
    assert done.published() == alone.published()
    fault(
        "a matching job that takes more than its 1500 MB, each job in a control group of its `mem_mb`", 1,
        "killed by the kernel; tried again with 3000 MB it passes; the dictionary of a run without limits",
    )  # fmt: skip


def limit_of(group: Path) -> int:
    file = group / "memory.limit_in_bytes"
    return int((file if file.exists() else group / "memory.max").read_text())


def kills(group: Path) -> int:
    file = group / "memory.oom_control"
    counters = (file if file.exists() else group / "memory.events").read_text().split()
    return int(counters[counters.index("oom_kill") + 1])


def link_shards(source: str, target: str) -> None:
    os.link(source, target) if source.endswith(".parquet") and "/data/" in source else shutil.copy2(source, target)
