"""What a concept's candidates are to it: context, and of the rejected ones confusable, part, abstract, generic."""

import csv
import json
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from contrastive_concepts import ContrastiveConcepts
from contrastive_concepts.cli.main import app
from contrastive_concepts.config.selection import TYPES
from contrastive_concepts.dictionary.export import export
from contrastive_concepts.dictionary.manifest import file_sha256
from contrastive_concepts.errors import UserError
from contrastive_concepts.selection.select import REASONS
from tests.helpers import release_dictionary

REJECTED = [  # of the boat, the most frequent first
    ("ship", "similar"), ("photo", "stop-list"), ("mast", "part"), ("freedom", "not visible"), ("vessel", "similar"),
    ("Boat", "similar"), ("dock", "over the cap"),
]  # fmt: skip
TYPED = {
    "context": ["water", "<script>alert(1)</script>", "=1+1"],
    "confusable": ["ship", "vessel"], "part": ["mast"], "abstract": ["freedom"], "generic": ["photo"],
}  # fmt: skip


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory: pytest.TempPathFactory) -> ContrastiveConcepts:
    folder = release_dictionary(tmp_path_factory.mktemp("typed") / "a")
    names, reasons = zip(*REJECTED, strict=True)
    like = pl.read_parquet(folder / "rejected.parquet").clear()
    new = pl.DataFrame({"concept": "boat", "contrastive_concept": names, "reason": reasons})
    pl.concat([like, new], how="diagonal_relaxed").write_parquet(folder / "rejected.parquet")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["rejected.parquet"] = file_sha256(folder / "rejected.parquet")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return ContrastiveConcepts.load(folder)


def test_the_types_of_a_query(dictionary: ContrastiveConcepts) -> None:
    assert set(TYPES) <= set(REASONS)
    assert dictionary.typed("BOAT") == TYPED
    assert dictionary.typed("dog") == {**{kind: [] for kind in TYPED}, "context": ["café", "water"]}
    assert dictionary["boat"] == ["background", *TYPED["context"]]  # the answer stays the paper's


def test_types_in_a_shell(dictionary: ContrastiveConcepts) -> None:
    done = CliRunner().invoke(app, ["query", str(dictionary.folder), "boat", "dog", "--types"])
    assert done.stdout.splitlines() == [
        "boat", *(f"    {kind}: {', '.join(names)}" for kind, names in TYPED.items()),
        "dog", "    context: café, water", *(f"    {kind}: (none)" for kind in list(TYPED)[1:]),
    ]  # fmt: skip
    done = CliRunner().invoke(app, ["query", str(dictionary.folder), "boat", "--types", "--json"])
    assert json.loads(done.stdout) == [
        {"query": "boat", "concept": "boat", "similarity": 1.0, "far": False, "unknown": [], "types": TYPED}
    ]
    wrong = CliRunner().invoke(app, ["query", str(dictionary.folder), "boat", "--types", "--union"])
    assert "--types: found with --union" in str(wrong.exception)
    names = ["export", str(dictionary.folder), "-o", str(dictionary.folder.parent / "n"), "-f", "names", "--types"]
    assert "--types: found the format 'names'" in str(CliRunner().invoke(app, names).exception)


def test_a_word_that_is_no_concept_is_named_with_its_concept() -> None:
    from contrastive_concepts.resources import resource

    done = CliRunner().invoke(app, ["query", str(resource("dictionaries/toyworld")), "old boat", "xyzzy", "--types"])
    named = [line for line in done.stdout.splitlines() if " -> " in line]
    assert named[0].startswith("old boat -> boat (similarity ")
    assert named[1].endswith("(the encoder does not know 'xyzzy')")


def test_types_in_exports(dictionary: ContrastiveConcepts, tmp_path: Path) -> None:
    rows = [(kind, str(rank), name) for kind, names in TYPED.items() for rank, name in enumerate(names, start=1)]
    rows.insert(0, ("context", "1", "background"))
    rows[1:4] = [("context", str(rank + 1), name) for rank, name in enumerate(TYPED["context"], start=1)]
    export(dictionary, ["boat"], tmp_path / "a.csv", "csv", types=True)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        found = [(row["type"], row["rank"], row["contrastive_concept"].lstrip("'")) for row in csv.DictReader(file)]
    assert found == rows
    export(dictionary, ["boat"], tmp_path / "a.parquet", "parquet", types=True)
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [(row["type"], str(row["rank"]), row["contrastive_concept"]) for row in table] == rows
    export(dictionary, ["boat"], tmp_path / "a.json", "json", types=True)
    assert json.loads((tmp_path / "a.json").read_text())[0]["types"] == TYPED
    export(dictionary, [], tmp_path / "none.parquet", "parquet", types=True)
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0
    with pytest.raises(UserError, match="types: found the format 'text', expected one of json, csv, parquet"):
        export(dictionary, ["boat"], tmp_path / "a", "text", types=True)
    assert not (tmp_path / "a").exists()


def test_the_toy_worlds_boat() -> None:
    from contrastive_concepts.resources import resource

    typed = ContrastiveConcepts.load(resource("dictionaries/toyworld")).typed("boat")
    assert "water" in typed["context"]
    assert "vessel" in typed["confusable"]
    assert not set(typed["context"]) & set(typed["confusable"])
