"""The same lists, vocabularies, configurations and ratings come out of every encoding, line end and form."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrastive_concepts.config.load import read_config
from contrastive_concepts.config.visibility import Ratings
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.datasets import open_dataset
from contrastive_concepts.text_files import encoding_of, read_json, read_lines
from contrastive_concepts.visibility.agreement import read_ratings
from contrastive_concepts.visibility.cc_text import read_classes
from contrastive_concepts.vocabulary.concepts import read_names

from .conftest import ROOT
from .wrappings import ENCODINGS, LINE_ENDS, encoded

NAME = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp"), exclude_characters='",;|\ufeff'), min_size=1, max_size=9
).map(lambda name: f"x{name}")  # fmt: skip
# What str.splitlines() takes for line ends, and nobody else.
INNER = st.sampled_from(["", " ", "\x85", "\u2028", "\x1c", "\x0b"])


@given(
    st.lists(st.tuples(NAME, INNER, NAME).map("".join), min_size=1, max_size=9, unique=True),
    st.sampled_from(sorted(ENCODINGS)),
    st.sampled_from(LINE_ENDS),
    st.sampled_from(["", " ", "\t "]),
    st.integers(0, 2),
)
def test_lists_are_the_same_in_every_wrapping(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], encoding: str, end: str, blanks: str, empty: int
) -> None:
    folder = tmp_path_factory.mktemp("l")
    path = folder / "a.txt"
    text = end.join(name + blanks for name in names)
    path.write_bytes(encoded(text + end * empty, encoding))
    assert read_lines(path, "names") == read_names(path) == names
    if empty < 2:
        assert read_classes(path) == names
    (folder / "SegmentationClass").mkdir()
    (folder / "ImageSets" / "Segmentation").mkdir(parents=True)
    path.rename(folder / "ImageSets" / "Segmentation" / "val.txt")
    (folder / "classes.txt").write_bytes(encoded(end.join(["background", *names]), encoding))
    dataset = open_dataset("voc", folder, folder / "classes.txt")
    assert (list(dataset.names), list(dataset.classes)) == (names, ["background", *names])


@given(
    st.lists(NAME, min_size=1, max_size=9, unique=True),
    st.sampled_from(sorted(ENCODINGS)),
    st.sampled_from(["json", "csv", "tsv", "parquet"]),
)
def test_a_vocabulary_is_the_same_in_every_form(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], encoding: str, form: str
) -> None:
    path = tmp_path_factory.mktemp("v") / f"a.{form}"
    if form == "json":
        path.write_bytes(encoded(json.dumps(names, ensure_ascii=False), encoding))
    elif form == "parquet":
        for kind in (pl.String, pl.Categorical, pl.Enum(names)):
            pl.DataFrame({"count": range(len(names)), "concept": pl.Series(names, dtype=kind)}).write_parquet(path)
            assert read_names(path) == names
    else:
        separator = "," if form == "csv" else "\t"
        rows = ["count" + separator + "concept", *(f"{n}{separator}{name}" for n, name in enumerate(names))]
        path.write_bytes(encoded("\r\n".join(rows), encoding))
    assert read_names(path) == names


def test_what_is_no_list_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for content, message in (
        (b"boat\ncaf\xe9\n", "line 2: byte 8 is not UTF-8"),
        (b"boat\nd\0og with many a letter\n", "line 2: found a NUL character"),
        (gzip.compress(b"boat"), "kind gzip"),
        (b"\n \n", "found an empty list"),
        (b"<!doctype html>", "kind HTML"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=message) as caught:
            read_names(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    "text", ["a boat\thttp://x\n" * 9, "猫が好き\thttp://x/1.jpg\r\n" * 9, "a\n", "猫が好きです\n" * 99]
)
def test_an_encoding_without_a_mark_is_seen(encoding: str, text: str) -> None:
    assert encoding_of(text.encode(encoding)) == (encoding, 0)
    assert encoding_of(text.encode()) == ("utf-8", 0)


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_configurations_json_and_ratings_in_every_encoding(encoding: str, tmp_path: Path) -> None:
    def written(name: str, text: str) -> Path:
        (tmp_path / name).write_bytes(encoded(text.replace("\n", "\r\n"), encoding))
        return tmp_path / name

    config = (ROOT / "config" / "config.yaml").read_text()
    assert read_config(written("c.yaml", config)) == read_config(ROOT / "config" / "config.yaml")
    assert read_json(written("v.json", '{"boat": true,\n "café": false}'), "verdicts") == {"boat": True, "café": False}
    ratings = read_ratings(written("r.csv", "WORD,IMAG\nboat,7\ncafé,6\n"), Ratings(ratings=["IMAG"]))
    assert ratings.rows() == [("boat", 7.0), ("café", 6.0)]
