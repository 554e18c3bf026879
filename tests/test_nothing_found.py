"""Nothing found is not success: a run that finds nothing, or almost nothing, stops with one line; little is a warning."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from contrastive_concepts.checks import require
from contrastive_concepts.errors import UserError
from contrastive_concepts.report.outcome import describe_run

from .project import Project
from .scripted_model import ScriptedModel, scripted_model

TOY = {
    "encoder": "open_clip",
    "model": "toyworld-clip",
    "pretrained": None,
    "templates": "photo",
    "carry_encoder": False,
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "p").mkdir()
    project = Project(tmp_path / "p")
    project.config["similarity"] = TOY
    return project


def only_captions(project: Project, captions: list[str | None]) -> None:
    for path in (project.folder / "data").glob("*.parquet"):
        path.unlink()
    pl.DataFrame({"TEXT": captions}, schema={"TEXT": pl.String}).write_parquet(project.folder / "data" / "x.parquet")


def stopped(project: Project, *targets: str) -> str:
    said = project.snakemake(*targets, fails=True)
    assert "Traceback" not in said
    assert not (project.folder / "results" / "small" / "dictionary").exists()
    [line] = {line for line in said.splitlines() if line.startswith("Error: ")}
    return line


COUNTED = "results/small/cooccurrence/cooccurrence.npz"


@pytest.mark.slow
def test_captions_that_mention_no_concept(project: Project) -> None:
    only_captions(project, ["海に浮かぶ船", "犬と猫が草の上で遊んでいる", "空"] * 40)
    (project.folder / "data" / "concepts.txt").write_text("船\n犬\n猫\n")
    line = stopped(project, COUNTED)
    assert "captions that mention a concept: found 0 of 120" in line
    assert "docs/limits.md" in line


@pytest.mark.slow
def test_a_shard_of_nulls(project: Project) -> None:
    only_captions(project, [None] * 30)
    assert "each of its 30 captions in column 'TEXT' is null" in stopped(project, COUNTED)


@pytest.mark.slow
def test_a_shard_in_another_encoding(project: Project) -> None:
    only_captions(project, [])
    raw = ["ein schönes Boot", "das Wasser im März", "ein grüner Hund"]
    pl.DataFrame({"TEXT": [text.encode("latin-1") for text in raw] * 40}).write_parquet(
        project.folder / "data" / "x.parquet"
    )
    line = stopped(project, COUNTED)
    assert "x.parquet, column 'TEXT': usable captions: found 0 of 120" in line
    assert "120 invalid utf8" in line


class Babbling(ScriptedModel):
    """Says neither yes nor no of all but a few words."""

    understood = 0

    def answer(self, content: str) -> str | None:
        super().answer(content)
        return "yes" if len(self.asked) <= self.understood else "As an AI model I cannot see."


@pytest.mark.slow
def test_a_judge_that_is_not_understood_and_what_it_said_is_kept(project: Project) -> None:
    with scripted_model(set(), kind=Babbling) as model:
        project.config["visibility"] = model.judge
        line = stopped(project, "results/small/visibility/visibility.parquet")
        assert "answers that say yes or no: found 0 of 9, expected at least 90% of them" in line
        assert "As an AI model I cannot see." in line
        asked = model.asked.copy()
        assert stopped(project, "results/small/visibility/visibility.parquet") == line
        assert model.asked == asked


@pytest.mark.slow
def test_a_judge_that_sees_nothing(project: Project) -> None:
    with scripted_model({"boat", "ship", "water", "dog", "man", "freedom", "photo", "sky", "grass"}) as model:
        project.config["visibility"] = model.judge
        assert "visible concepts: found none of 9" in stopped(project, "dictionary")


@pytest.mark.slow
def test_thresholds_that_leave_nothing(project: Project) -> None:
    with scripted_model({"freedom"}) as model:
        project.config["visibility"] = model.judge
        project.config["selection"] = {"delta": 0.0}
        line = stopped(project, "dictionary")
        assert "found no contrastive concept for any of 9 concepts" in line
        assert "similar" in line
        project.config["selection"] = {"gamma": 1.0}
        assert "gamma = 1.0" in stopped(project, "dictionary")


@pytest.mark.slow
def test_the_last_lines_say_what_came_of_it(project: Project) -> None:
    with scripted_model({"freedom"}) as model:
        project.config["visibility"] = model.judge
        said = project.snakemake("dictionary")
        manifest = json.loads((project.folder / "results/small/dictionary/manifest.json").read_text())
        rows, kept = manifest["captions"]["rows"], manifest["counts"]["contrastive concepts"]
        [line] = [line for line in said.splitlines() if line.startswith("results/small: ")]
        assert line.startswith(f"results/small: {rows} captions, ")
        assert line.endswith(f"{kept} contrastive concepts kept")
        assert f"Warning: of {rows} captions 6 null, 6 empty" in said
        assert "Warning: 9 answers of the judge: no log-probabilities" in said
        assert said.count("results/small: ") == 1
        (project.folder / "again").mkdir()
        assert "results/small: " in project.snakemake(
            "dictionary", "--forcerun", "selection", snakefile="workflow/Snakefile"
        )


def test_no_dictionary_nothing_to_say(tmp_path: Path) -> None:
    assert describe_run(tmp_path) == []


@pytest.mark.parametrize(
    ("found", "given", "least", "stops"),
    [(0, 0, 0.5, False), (0, 1, 0.0, True), (1, 1000, 0.0, False), (1, 1000, 0.001, False), (1, 1001, 0.001, True), (9, 10, 0.9, False), (8, 10, 0.9, True)],
)  # fmt: skip
def test_the_least(found: int, given: int, least: float, stops: bool) -> None:
    asked: Any = (found, given, least, "captions", "matched_captions")
    if not stops:
        return require(*asked)
    with pytest.raises(UserError, match=rf"captions: found {found:,} of {given:,}, expected at least .*\(checks\."):
        require(*asked)
    return None
