"""`contrastive-concepts bench mining`: that the tools count the same, and that its tables come out."""

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from benchmarks.corpora import Draw, read_pool, vocabularies, write_shards
from benchmarks.others import aho_corasick, duckdb_join, forms_of, polars_join
from contrastive_concepts.cli.main import app

NAMES = ["boat", "dog", "water", "man", "tree", "ship", "sky", "grass"]
CAPTIONS = [
    "A boat on the water", "two boats, a dog", "dogs and dogs", "the man; his men", "", "treetop", "Sky-blue water",
    "nothing",
]  # fmt: skip
MENTIONS = 2 + 2 + 1 + 1 + 0 + 0 + 2 + 0


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    path = tmp_path / "captions.parquet"
    pl.DataFrame({"TEXT": CAPTIONS * 50}).write_parquet(path)
    return path


@pytest.mark.parametrize("count", [polars_join, duckdb_join, aho_corasick])
def test_other_tools_find_the_same_mentions(count: object, captions: Path) -> None:
    pytest.importorskip("ahocorasick")
    assert callable(count)
    found = count(captions, forms_of(NAMES), 1)
    assert (found.rows, found.mentions) == (50 * len(CAPTIONS), 50 * MENTIONS)
    assert found.seconds > 0


def test_corpora_are_drawn_and_vocabularies_have_their_size(captions: Path, tmp_path: Path) -> None:
    pool = read_pool([captions])
    shards = write_shards(tmp_path / "shards", Draw(pool, pool), shards=2, rows=30)
    drawn = pl.concat([pl.read_parquet(path) for path in shards])["TEXT"]
    assert drawn.len() == 60
    assert set(drawn) <= set(CAPTIONS)
    small, large = vocabularies(NAMES[:4], NAMES[2:], pool, [2, 6])
    assert small == ["boat", "water"]
    assert large == NAMES[2:]
    assert set(vocabularies(NAMES[:4], NAMES[2:], pool, [12])[0]) > set(NAMES)


def test_a_draw_has_the_lengths_of_other_captions() -> None:
    pool = pa.array([b"a", b"bb", b"BB", b"cccc", b"dddddddd"])
    like = pa.array([b"zz", b"zzz", b"z" * 99])
    draw = Draw(pool, like)
    drawn = Counter(draw.captions(3000, np.random.default_rng(0)).to_pylist())
    assert set(drawn) == {b"bb", b"BB", b"cccc", b"dddddddd"}
    assert drawn[b"bb"] + drawn[b"BB"] == pytest.approx(1000, abs=150)
    assert drawn[b"cccc"] == pytest.approx(1000, abs=150)
    assert draw.mean_bytes == pytest.approx((2 + 4 + 8) / 3)


@pytest.mark.slow
def test_the_command_writes_its_tables(captions: Path, tmp_path: Path) -> None:
    for name, names in (("small", NAMES), ("large", [*NAMES, "sand", "road"])):
        (tmp_path / name).write_text("\n".join(names))
    page = tmp_path / "page.md"
    arguments = ["bench", "mining", str(captions), "--vocabulary", str(tmp_path / "small"), "--quick"]
    arguments += ["--large-vocabulary", str(tmp_path / "large"), "--output", str(page)]
    for part in ("speed", "growth", "lookup"):
        arguments += ["--only", part]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Mining: speed", "## Mining: growth", "## Mining: lookup",
    ]  # fmt: skip
    assert "| all | 2 |" in text
    assert "| an exact name, median |" in text
    wrong = CliRunner().invoke(app, [*arguments, "--only", "sped"])
    assert wrong.exit_code != 0
