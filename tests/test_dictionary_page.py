"""The code in docs/dictionary.md, run as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from contrastive_concepts import ContrastiveConcepts
from tests.helpers import release_dictionary

ROOT = Path(__file__).parent.parent


def block(language: str) -> str:
    """The page's first block of code in a language."""
    page = (ROOT / "docs" / "dictionary.md").read_text(encoding="utf-8")
    found = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found, f"docs/dictionary.md has no block in {language}"
    return found[1]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the dictionary and the class list that the page names."""
    (tmp_path / "results" / "toy").mkdir(parents=True)
    release_dictionary(tmp_path / "made").rename(tmp_path / "results" / "toy" / "dictionary")
    (tmp_path / "classes.txt").write_text("dog\nboat\n", encoding="utf-8")
    return tmp_path


def run(command: list[str], place: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_lines_give_the_texts(place: Path) -> None:
    code = block("python")
    assert len(code.splitlines()) == 5
    expected = ["boat", *ContrastiveConcepts.load(place / "results" / "toy" / "dictionary")["boat"]]
    assert run([sys.executable, "-c", code], place).strip().split(", ") == expected
    assert expected[:3] == ["boat", "background", "water"]


def test_the_shell_line_gives_the_files(place: Path) -> None:
    line = block("sh").strip()
    program, *arguments = line.split()
    assert (program, len(line.splitlines())) == ("contrastive-concepts", 1)
    run([sys.executable, "-m", "contrastive_concepts", *arguments], place)
    assert (place / "cc" / "classes.txt").read_text(encoding="utf-8").splitlines()[0] == "café, water"
    assert (place / "cc" / "bkg_classes.txt").read_text(encoding="utf-8").splitlines()[0] == "background, café, water"
    assert (place / "cc" / "mapping_classes.txt").read_text(encoding="utf-8") == "dog: dog\nboat: boat\n"
