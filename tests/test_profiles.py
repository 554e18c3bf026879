"""The shipped profiles: each plans the embedded default from nothing, and says what only it knows."""

import shutil
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT
from .snakemake_server import snakemake

PROFILES = sorted(path.name for path in (ROOT / "profiles").iterdir())
# A storage is asked what is there already: tests/test_kubernetes.py has one.
PLANNED = [name for name in PROFILES if name != "kubernetes"]


@pytest.mark.parametrize("name", PLANNED)
def test_a_first_run_is_planned(name: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    options = ["--snakefile", str(ROOT / "Snakefile"), "--dry-run", "--workflow-profile", str(ROOT / "profiles" / name)]
    status, planned = snakemake(options, tmp_path)
    assert status == 0, planned[-2000:]
    for rule in ("toy_captions", "match_shards", "visibility", "dictionary", "pixel_counts", "results"):
        assert rule in planned
    assert not (tmp_path / "results").exists()


def test_one_gpu_here_and_retries_there() -> None:
    profiles = {name: yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text()) for name in PROFILES}
    assert profiles.pop("default")["resources"] == ["gpu=1"]
    rules = [path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk")]
    for there in profiles.values():
        assert there["retries"] == 2
    assert not any("mem_mb=" in line and "growing" not in line for text in rules for line in text.splitlines())
