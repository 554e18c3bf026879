"""A dictionary out of the project: exported, compared."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from contrastive_concepts import ContrastiveConcepts
from contrastive_concepts.cli.main import app
from contrastive_concepts.dictionary.compare import compare
from contrastive_concepts.dictionary.export import export
from contrastive_concepts.errors import UserError
from tests.helpers import NAMES, release_dictionary


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release_dictionary(tmp_path_factory.mktemp("exchange") / "a")


@pytest.fixture(scope="module")
def dictionary(folder: Path) -> ContrastiveConcepts:
    return ContrastiveConcepts.load(folder)


def test_the_authors_files(dictionary: ContrastiveConcepts, tmp_path: Path) -> None:
    export(dictionary, ["boat", "Water", "dog"], tmp_path / "out", "text", "mine")
    read = {file.name: file.read_text() for file in (tmp_path / "out").iterdir()}
    assert read == {
        "mine.txt": "water, <script>alert(1)</script>, =1+1\nboat, dog\ncafé, water\n",
        "bkg_mine.txt": "background, water, <script>alert(1)</script>, =1+1\nbackground, boat, dog\nbackground, café, water\n",
        "mapping_mine.txt": "boat: boat\nWater: water\ndog: dog\n",
    }


def test_background_that_was_mined_stays(tmp_path: Path) -> None:
    found = release_dictionary(
        tmp_path / "a", names=["boat", "background", "dog"], counts=[[9, 5, 4], [5, 9, 0], [4, 0, 9]]
    )
    export(ContrastiveConcepts.load(found), ["boat"], tmp_path / "out", "text", "mine")
    assert (tmp_path / "out" / "mine.txt").read_text() == "background, dog\n"
    assert (tmp_path / "out" / "bkg_mine.txt").read_text() == "background, background, dog\n"
    assert ContrastiveConcepts.load(found)["boat"] == ["background", "dog"]


HOSTILE = [
    "a/b",
    'quo"te',
    "new\nline",
    "../up",
    "=1+1",
    "+x",
    "-x",
    "@x",
    "\tx",
    "<b>it</b>",
    "a, b",
    "'",
    "e\u0301",
    "",
]


def test_hostile_names_through_every_format(tmp_path: Path) -> None:
    names = [name or "plain" for name in HOSTILE]
    size = len(names)
    found = release_dictionary(tmp_path / "a", names=names, counts=(9 * np.eye(size, dtype=int) + 1).tolist())
    dictionary = ContrastiveConcepts.load(found, background=False)
    before = sorted(tmp_path.rglob("*"))
    expected = {(query, text) for query in names for text in names if text != query}
    for form in ("json", "csv", "parquet", "hf", "standalone"):
        files = export(dictionary, names, tmp_path / "out" / form, form)
        assert all(file.resolve().is_relative_to((tmp_path / "out" / form).resolve()) for file in files)
    out = tmp_path / "out"
    answers = json.loads((out / "json").read_text())
    assert {(answer["query"], text) for answer in answers for text in answer["contrastive_concepts"]} == expected
    for table in (pq.read_table(out / "parquet"), pq.read_table(next((out / "hf").rglob("*.parquet")))):
        assert {(row["query"], row["contrastive_concept"]) for row in table.to_pylist()} == expected
    with (out / "csv").open(newline="", encoding="utf-8") as file:
        cells = [(row["query"], row["contrastive_concept"]) for row in csv.DictReader(file)]
    assert not any(cell.startswith(tuple("=+-@\t\r")) for row in cells for cell in row)
    plain = {f"'{name}": name for name in names if name.startswith(tuple("=+-@\t"))}
    assert {tuple(plain.get(cell, cell) for cell in row) for row in cells} == expected
    kept = pq.read_table(out / "standalone" / "contrastive_concepts.parquet").to_pylist()
    assert {(row["concept"], row["contrastive_concept"]) for row in kept} == expected
    assert sorted(path for path in tmp_path.rglob("*") if not path.is_relative_to(out)) == before
    with pytest.raises(UserError, match=r"line 1: found the name .*, expected one without commas"):
        export(dictionary, names, tmp_path / "text", "text")
    assert not any((tmp_path / "text").iterdir())


def test_class_names_in_one_command(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("boat\ndog\n")
    arguments = ["export", str(folder), "--prompts", str(tmp_path / "classes.txt"), "-o", str(tmp_path / "cc")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "cc" / "bkg_classes.txt").read_text().splitlines()[1] == "background, café, water"


def test_tables(dictionary: ContrastiveConcepts, tmp_path: Path) -> None:
    queries = ["boat", "=1+1", "boat"]
    export(dictionary, queries, tmp_path / "a.json", "json")
    export(dictionary, queries, tmp_path / "a.parquet", "parquet")
    export(dictionary, queries, tmp_path / "a.csv", "csv")
    answers = json.loads((tmp_path / "a.json").read_text())
    assert [(answer["query"], answer["contrastive_concepts"]) for answer in answers] == [
        (query, dictionary[query]) for query in queries
    ]
    rows = [(query, rank, text) for query in queries for rank, text in enumerate(dictionary[query], 1)]
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [(row["query"], row["rank"], row["contrastive_concept"]) for row in table] == rows
    with (tmp_path / "a.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert len(cells) == len(rows)
    assert not any(value.startswith(("=", "+", "-", "@")) for row in cells for value in row.values())
    assert "'=1+1" in {row["contrastive_concept"] for row in cells}


def test_nothing_is_overwritten(dictionary: ContrastiveConcepts, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("mine")
    with pytest.raises(UserError, match="exists, expected a new file"):
        export(dictionary, ["boat"], tmp_path / "a.json", "json")


def test_hugging_face_folder(dictionary: ContrastiveConcepts, tmp_path: Path) -> None:
    export(dictionary, list(dictionary), tmp_path / "hf", "hf")
    _, front, card = (tmp_path / "hf" / "README.md").read_text().split("---\n", 2)
    pattern = yaml.safe_load(front)["configs"][0]["data_files"][0]["path"]
    files = list((tmp_path / "hf").glob(pattern))
    assert len(files) == 1
    assert pq.read_table(files[0]).num_rows == sum(len(dictionary[name]) for name in dictionary)
    assert "| gamma | 0.01 |" in card


def test_the_standalone_folder_needs_three_libraries(dictionary: ContrastiveConcepts, tmp_path: Path) -> None:
    export(dictionary, [], tmp_path / "alone", "standalone")
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); from contrastive import Dictionary; import numpy as np\n"
        "d = Dictionary(); print(json.dumps([d['boat'], d.nearest(np.eye(6, dtype='float32')[2:3])[0][0],"
        " [m for m in ('polars', 'contrastive_concepts', 'pydantic') if m in sys.modules]]))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", code, str(tmp_path / "alone")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert json.loads(done.stdout) == [dictionary["boat"], "dog", []]


def test_what_another_threshold_changes(folder: Path, tmp_path: Path) -> None:
    strict = release_dictionary(tmp_path / "b", gamma=0.3)
    found = compare(folder, strict)
    changes = {row["concept"]: row for row in found.concepts.to_dicts()}
    assert changes["boat"]["dropped"] == ["=1+1"]
    assert changes["water"]["dropped"] == ["dog"]
    assert changes["boat"]["jaccard"] == pytest.approx(2 / 3)
    assert not any(row["added"] for row in changes.values())
    assert compare(folder, folder).summary["mean Jaccard index"] == 1
    backwards = compare(strict, folder).summary
    assert (backwards["added"], backwards["dropped"]) == (found.summary["dropped"], 0)
    done = CliRunner().invoke(app, ["diff", str(folder), str(strict)])
    assert "boat (0.67)\n    -=1+1" in done.output


def test_concepts_of_one_alone(folder: Path, tmp_path: Path) -> None:
    other = release_dictionary(tmp_path / "c", names=NAMES[:2], counts=[[9, 5], [5, 9]])
    found = compare(folder, other)
    assert (found.only_a, found.only_b) == (NAMES[2:], [])
