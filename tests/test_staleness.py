"""What a change of the code makes Snakemake do again: what depends on it, and nothing else."""

import shutil
from pathlib import Path

import pytest

from tests.project import ROOT, Project

REPORT = {"funnel", "thresholds", "audit", "all"}
MATCHED = {"match_shard", "cooccurrence", "candidates", "similarity", "dictionary"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("project"))
    project.snakemake()
    return project


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A copy of the workflow that a test may change."""
    for name in ("workflow", "resources", "config", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", tmp_path / "Snakefile")
    return tmp_path


def planned(project: Project, code: Path) -> set[str]:
    return set(project.planned(str(code / "Snakefile")))


def test_a_new_plural_is_mined_and_matched_again(project: Project, code: Path) -> None:
    with (code / "resources/nouns/plurals.txt").open("a") as file:
        file.write("foci focus\n")
    assert {"vocabulary", "lexicon"} | MATCHED <= planned(project, code)


def test_a_copy_of_the_code_changes_nothing(project: Project, code: Path) -> None:
    assert planned(project, code) == set()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("workflow/contrastive_concepts/dictionary/publish.py", {"dictionary"}),
        ("workflow/contrastive_concepts/similarity/semantic.py", {"similarity", "dictionary"}),
        ("workflow/contrastive_concepts/matching/kernel.py", MATCHED),
        ("workflow/contrastive_concepts/segmenters/gem.py", set()),
        ("resources/prompts/likelihood.txt", {"visibility", "dictionary"}),
        ("resources/prompts/contrastive.txt", set()),
        ("resources/nouns/noun_model.npz", MATCHED | {"lexicon"}),
    ],
)
def test_what_a_change_redoes(project: Project, code: Path, changed: str, expected: set[str]) -> None:
    with (code / changed).open("ab") as file:
        file.write(b"\n")
    found = planned(project, code)
    assert found - REPORT == expected
    assert bool(found) == bool(expected)


@pytest.mark.parametrize(
    ("stage", "key", "value", "expected"),
    [
        ("visibility", "model", "another/model", {"visibility", "dictionary"}),
        ("similarity", "templates", "photo", {"embeddings", "similarity", "dictionary"}),
    ],
)
def test_what_another_setting_redoes(project: Project, stage: str, key: str, value: str, expected: set[str]) -> None:
    before = dict(project.config[stage])
    project.config[stage][key] = value
    try:
        assert set(project.planned()) - REPORT == expected
    finally:
        project.config[stage] = before
