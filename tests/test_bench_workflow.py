"""`contrastive-concepts bench workflow`: whole runs in a fresh copy of the repository."""

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from contrastive_concepts.cli.main import app
from contrastive_concepts.errors import UserError

from .project import CAPTIONS, CONCEPTS


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    path = tmp_path / "captions.parquet"
    pl.DataFrame({"TEXT": CAPTIONS * 50}).write_parquet(path)
    return path


def test_captions_without_a_vocabulary_are_one_line(captions: Path) -> None:
    found = CliRunner().invoke(app, ["bench", "workflow", str(captions), "--no-default"])
    assert isinstance(found.exception, UserError)
    assert str(found.exception).startswith("--vocabulary: found none, expected")


@pytest.mark.slow
def test_shards_are_counted_through_snakemake(captions: Path, tmp_path: Path) -> None:
    (tmp_path / "concepts.txt").write_text("\n".join(CONCEPTS))
    page = tmp_path / "page.md"
    options = ["--vocabulary", str(tmp_path / "concepts.txt"), "--no-default", "--shards", "3", "--rows", "100"]
    found = CliRunner().invoke(app, ["bench", "workflow", str(captions), *options, "--output", str(page)])
    assert found.exit_code == 0, found.output
    [row] = [line.strip("| ").split(" | ") for line in page.read_text().splitlines() if line.startswith("| 3 shards")]
    what, seconds, processors, jobs, peak = row
    assert what == "3 shards of 100 captions to X"
    # Vocabulary, kernel, lexicon, one job for all shards, the sum.
    assert jobs == "5"
    assert 0 < int(processors) < 2 * int(seconds) + 2
    assert 50 < int(peak) < 4000


@pytest.mark.slow
def test_a_run_that_fails_says_why(captions: Path, tmp_path: Path) -> None:
    (tmp_path / "concepts.txt").write_text("")
    options = ["--vocabulary", str(tmp_path / "concepts.txt"), "--no-default", "--shards", "1", "--rows", "10"]
    found = CliRunner().invoke(app, ["bench", "workflow", str(captions), *options])
    assert isinstance(found.exception, UserError)
    assert "\n" not in str(found.exception)
    assert "concepts.txt" in str(found.exception)
