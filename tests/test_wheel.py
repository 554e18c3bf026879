"""The wheel alone, in an environment with nothing else: what a reader of dictionaries gets."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

from .conftest import ROOT

KNOWN = ["boat", "dog", "cat", "bread", "tree", "flower", "bird", "car", "bed", "chair"]
UNKNOWN = [
    "sourdough", "monstera", "pothos", "shiba", "tortoiseshell", "focaccia", "marzipan", "crevice", "stalker", "guy",
]  # fmt: skip
HEAVY = {"torch", "polars", "scipy", "numba", "duckdb", "transformers", "open_clip_torch", "spacy", "snakemake"}


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment with the wheel, in the pinned versions."""
    folder = tmp_path_factory.mktemp("light")
    run("uv", "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT))
    [wheel] = folder.glob("*.whl")
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["pins"]
    (folder / "pins.txt").write_text("\n".join(pins))
    run("uv", "venv", "--quiet", str(folder / "venv"))
    python = str(folder / "venv" / "bin" / "python")
    run("uv", "pip", "install", "--quiet", "--python", python, "--constraint", str(folder / "pins.txt"), str(wheel))
    return folder / "venv" / "bin"


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_ten_known_and_ten_unknown_words(light: Path, tmp_path: Path) -> None:
    installed = run("uv", "pip", "list", "--python", str(light / "python"), "--format", "json")
    assert not HEAVY & {each["name"].replace("-", "_") for each in json.loads(installed)}
    ask = [str(light / "contrastive-concepts"), "query", "--json"]
    answers = json.loads(run(*ask, *KNOWN, *UNKNOWN, cwd=tmp_path))
    assert [each["concept"] for each in answers[:10]] == KNOWN
    assert all(each["similarity"] < 1 for each in answers[10:])
    assert all(len(each["contrastive_concepts"]) > 1 for each in answers[:10])
    assert all(each["contrastive_concepts"] for each in answers)
    # The toy world's dictionary carries its encoder, which takes any text.
    toy = json.loads(run(*ask, "--dictionary", "toyworld", "boat", *(f"a big {word}" for word in KNOWN), cwd=tmp_path))
    assert [each["concept"] for each in toy[:3]] == ["boat", "boat", "dog"]


@pytest.mark.slow
def test_with_the_other_packages_the_wheel_can_judge(light: Path, tmp_path: Path) -> None:
    [wheel] = light.parents[1].glob("*.whl")
    with ZipFile(wheel) as files:
        files.extractall(tmp_path / "package")
    check = [sys.executable, "-m", "contrastive_concepts", "config", "check", str(ROOT / "config" / "config.yaml")]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "package")}
    done = subprocess.run(
        [*check, "--probe"], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "judge: P(visible) of boat 1.00" in done.stdout


@pytest.mark.slow
def test_what_the_wheel_alone_cannot_do_is_one_line(light: Path, tmp_path: Path) -> None:
    program = str(light / "contrastive-concepts")
    for arguments, expected in (
        (
            ("query", "a very long kitchen tabel"),
            "sentence_transformers is not installed, expected it for the text encoder",
        ),
        (("segment", "x.png", "--query", "bus", "--output", "out"), r"pip install 'contrastive-concepts\[segment\]'"),
        (("explore",), r"pip install 'contrastive-concepts\[workflow\]'"),
    ):
        done = subprocess.run([program, *arguments], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 1
        assert re.fullmatch(rf"Error: .*{expected}.*\n", done.stderr), done.stderr
