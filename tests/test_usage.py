"""What jobs took beside what they asked for, and the proposal made of it."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from contrastive_concepts.cli import repository
from contrastive_concepts.cli.main import app
from contrastive_concepts.errors import UserError
from tools.usage import RuleUsage, profile, rule_usages

from .project import Project

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"
EXTENDED = HEADER + "\tjobid\trule_name\twildcards\tparams\tthreads\tcpu_usage\tresources\tinput_size_mb"


def row(seconds: float, memory: str) -> str:
    return f"{seconds}\t0:00:00\t{memory}\t1\t1\t1\t0\t0\t50\t1"


def extended(seconds: float, memory: str, rule: str, asked: dict[str, object]) -> str:
    return f"{row(seconds, memory)}\t3\t{rule}\t{{'shard': 'a'}}\t{{'name': 'it\\'s \"x\"'}}\t1\t9\t{asked}\t{{}}"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    files = {
        "match_shards/a.tsv": [EXTENDED, extended(100, "700.5", "match_shards", {"mem_mb": 1500, "runtime": 60})],
        "match_shards/b.tsv": [EXTENDED, extended(400, "300", "match_shards", {"mem_mb": 3000, "runtime": 60})],
        "sets/x/y.tsv": [EXTENDED, extended(1, "NA", "sweep_set", {"mem_mb": 4000, "tmpdir": "/tmp"})],
        "vocabulary.tsv": [HEADER, row(10, "1000")],
    }
    for name, lines in files.items():
        path = tmp_path / "usage" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    return tmp_path


def test_the_longest_and_the_largest_job_of_each_rule(results: Path) -> None:
    assert rule_usages(results) == [
        RuleUsage("vocabulary", 1, 10, 1000, None, None),
        RuleUsage("match_shards", 2, 400, 700.5, 3000, 60),
        RuleUsage("sweep_set", 1, 1, None, 4000, None),
    ]


def test_the_proposal_has_head_room_and_still_grows(results: Path) -> None:
    asked = yaml.safe_load(profile(rule_usages(results)))["set-resources"]
    assert asked == {
        "match_shards": {"mem_mb": "1750 * 2 ** (attempt - 1)", "runtime": 10},  # 700.5 x 1.5 + 500; 400 s x 1.5
        "sweep_set": {"runtime": 5},
        "vocabulary": {"mem_mb": "2000 * 2 ** (attempt - 1)", "runtime": 5},
    }
    assert yaml.safe_load(profile(rule_usages(results), 3))["set-resources"]["match_shards"]["runtime"] == 20


def test_a_folder_without_usage_and_a_broken_file_are_named(tmp_path: Path, results: Path) -> None:
    with pytest.raises(UserError, match=r"found no usage/\*\.tsv"):
        rule_usages(tmp_path / "nothing")
    (results / "usage" / "cut.tsv").write_text("s\th:m:s\n1\n")
    with pytest.raises(UserError, match=r"cut\.tsv: line 2: not a row"):
        rule_usages(results)


@pytest.mark.slow
def test_what_a_real_run_took_becomes_a_profile_that_snakemake_follows(tmp_path: Path) -> None:
    project = Project(tmp_path)
    target = "results/small/cooccurrence/cooccurrence.npz"
    project.snakemake(target)
    shown = CliRunner().invoke(app, ["resources", str(tmp_path / "results" / "small"), "--output", str(tmp_path / "c")])
    assert shown.exit_code == 0, shown.output
    asked = {usage.rule: usage for usage in rule_usages(tmp_path / "results" / "small")}
    assert asked["match_shards"].jobs == 1
    # Two threads: 1000 + 2 x 500.
    assert asked["match_shards"].asked_mb == 2000
    assert asked["match_shards"].memory_mb is not None

    (tmp_path / "profile").mkdir()
    (tmp_path / "c").rename(tmp_path / "profile" / "config.yaml")
    planned = project.snakemake("--workflow-profile", "profile", "--dry-run", "--forceall", target)
    block = planned[planned.index("rule match_shards:") :].split("\n\n")[0]
    assert f"mem_mb={asked['match_shards'].proposed_mb()}," in block
    assert "runtime=5" in block


@pytest.mark.parametrize("command", [["resources", "results/run"], ["bench", "segmentation"]])
def test_a_command_of_the_repository_says_so_in_an_installed_library(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "PACKAGE", tmp_path / "site-packages" / "contrastive_concepts")
    found = CliRunner().invoke(app, command)
    assert isinstance(found.exception, UserError)
    assert str(found.exception) == f"{command[0]}: this command needs the repository, not only the installed library"
