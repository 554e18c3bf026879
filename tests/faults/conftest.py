"""One undisturbed run that all faults are measured by; each fault happens to a project folder of its own."""

import json
import shutil
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..project import Project
from ..scripted_model import ScriptedModel, scripted_model

STAGES = [
    "vocabulary", "lexicon", "match_shards", "manifest", "cooccurrence", "visibility",
    "embeddings", "selection", "dictionary",
]  # fmt: skip


class Disturbed(Project):
    """A small project with a model to judge it; only what the dictionary needs is run."""

    def __init__(self, folder: Path, model: ScriptedModel) -> None:
        super().__init__(folder)
        self.config["visibility"] = model.judge
        self.config["similarity"] = {
            "encoder": "open_clip", "model": "toyworld-clip", "pretrained": None, "templates": "photo"
        }  # fmt: skip

    def command(self, *options: str, snakefile: str = "Snakefile") -> list[str]:
        return [*super().command(snakefile=snakefile), "dictionary", *options]

    @property
    def results(self) -> Path:
        return self.folder / "results" / "small"

    def published(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((self.results / "dictionary").iterdir())}

    def jobs(self) -> dict[str, tuple[float, list[Path]]]:
        """By rule: the seconds that its longest job took, and its outputs, as Snakemake noted them."""
        found: dict[str, tuple[float, list[Path]]] = {}
        notes = self.folder / ".snakemake" / "metadata"
        for path in (path for path in notes.rglob("*") if path.is_file()):
            note = json.loads(path.read_text())
            name = "".join(path.relative_to(notes).parts).replace("@", "")
            seconds, outputs = found.get(note["rule"], (0.0, []))
            output = self.folder / urlsafe_b64decode(name).decode()
            found[note["rule"]] = max(seconds, note["endtime"] - note["starttime"]), [*outputs, output]
        return found


@pytest.fixture(scope="session")
def model() -> Iterator[ScriptedModel]:
    with scripted_model({"freedom"}) as model:
        yield model


@pytest.fixture(scope="session")
def finished(model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory) -> Disturbed:
    """A run that nothing happened to."""
    project = Disturbed(tmp_path_factory.mktemp("undisturbed"), model)
    project.snakemake()
    return project


@pytest.fixture(scope="session")
def undisturbed(finished: Disturbed) -> dict[str, bytes]:
    return finished.published()


@pytest.fixture
def project(model: ScriptedModel, tmp_path: Path) -> Disturbed:
    """Where nothing has run."""
    (tmp_path / "new").mkdir()
    return Disturbed(tmp_path / "new", model)


@pytest.fixture
def done(model: ScriptedModel, finished: Disturbed, tmp_path: Path) -> Disturbed:
    """Where everything has run: the undisturbed project's copy."""
    (tmp_path / "done").mkdir()
    project = Disturbed(tmp_path / "done", model)
    shutil.rmtree(project.folder)
    shutil.copytree(finished.folder, project.folder)
    return project
