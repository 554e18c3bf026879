"""The concept list T: read from a file, cleaned, with duplicates merged and reported."""

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal

import polars as pl

from contrastive_concepts.captions.columns import is_header, known_column, text_column
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.text_files import read_json, read_lines, read_table
from contrastive_concepts.vocabulary.lemmas import concept_key, lemmatised_as

CONCEPTS: dict[str, pl.DataType | type[pl.DataType]] = {
    "concept_id": pl.Int32,
    "concept": pl.String,
    "words": pl.List(pl.String),
}
NAMES = (
    "concept",
    "concepts",
    "name",
    "names",
    "class",
    "class_name",
    "classes",
    "label",
    "labels",
    "tag",
    "word",
    "noun",
)
"""Common names of concept columns. If a table has several, the first here is used."""
EXPECTED = "a list of concepts (vocabulary.path)"
MERGED = {"name": pl.String, "kept": pl.String, "reason": pl.String}


def read_names(path: str | Path) -> list[str]:
    """The concept names in a text, CSV, TSV, parquet or JSON file, unchanged except for surrounding white space.

    Raises UserError.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        if suffix in (".parquet", ".pq"):
            names: Any = _parquet_names(path)
        elif suffix == ".json":
            names = read_json(path, EXPECTED)
            names = list(names) if isinstance(names, dict) else names
        elif suffix in (".csv", ".tsv", ".tab"):
            names = _table_names(path)
        else:
            names = read_lines(path, EXPECTED)
    except FileNotFoundError:
        raise UserError(f"{path}: not found, expected {EXPECTED}") from None
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path}: not a readable vocabulary ({one_line(error)})") from None
    if not isinstance(names, list):
        raise UserError(f"{path}: found {type(names).__name__}, expected a list of concepts")
    if not names:
        raise UserError(f"{path}: found an empty list, expected {EXPECTED}")
    for row, name in enumerate(names, 1):
        if not isinstance(name, str):
            raise UserError(f"{path}: entry {row}: found {name!r}, expected a concept's name")
    return names


def clean_name(name: str) -> str:
    """A concept's name for display and embedding: `hot_dog` -> `hot dog`. The letter case is kept."""
    return " ".join(unicodedata.normalize("NFC", name).replace("_", " ").split())


def merge_names(names: Iterable[str], mode: Literal["bag", "phrase"]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Merge names that match the same captions.

    Returns two tables: the concepts in order of first appearance (concept_id, concept, words: the lemmas to match), and
    the names that did not become a concept (name, kept: the concept it was merged into, reason).
    """
    first: dict[tuple[str, ...], str] = {}
    merged: list[tuple[str, str | None, str]] = []
    for raw in names:
        name = clean_name(raw)
        if not name:
            continue
        key = _key(concept_key(name), mode)
        if not key:
            merged.append((name, None, "no word in it"))
        elif key in first:
            merged.append((name, first[key], "repeated" if first[key] == name else "same words after normalisation"))
        else:
            first[key] = name
    concepts = pl.DataFrame(
        {"concept_id": range(len(first)), "concept": list(first.values()), "words": [list(key) for key in first]},
        schema=CONCEPTS,
    )
    return concepts, pl.DataFrame(merged, schema=MERGED, orient="row")


def merged_into(names: Sequence[str], concepts: pl.DataFrame, mode: Literal["bag", "phrase"]) -> list[int | None]:
    """For each name the concept_id that `merge_names` merged it into, None if there is none.

    If no concept has a name's words, the name can be spaCy's lemma (sunglass) of a concept (sunglasses): then it
    belongs to that concept.
    """
    ids: dict[tuple[str, ...], int] = {}
    others: dict[tuple[str, ...], int] = {}
    for number, words in concepts.select("concept_id", "words").iter_rows():
        ids[tuple(words)] = number
        for spelled in product(*map(lemmatised_as, words)):
            others.setdefault(_key(spelled, mode), number)
    keys = (_key(concept_key(clean_name(name)), mode) for name in names)
    return [ids.get(key, others.get(key)) for key in keys]


def _key(words: tuple[str, ...], mode: Literal["bag", "phrase"]) -> tuple[str, ...]:
    return tuple(sorted(set(words))) if mode == "bag" else words


def _parquet_names(path: Path) -> list[str]:
    table = pl.read_parquet(path)
    text = [name for name, kind in table.schema.items() if kind in (pl.String, pl.Categorical, pl.Enum, pl.Null)]
    column = known_column(text, NAMES) or (text[0] if len(text) == 1 else None)
    if column is None:
        raise UserError(f"{path}: found columns {', '.join(table.columns)}; expected a text column named concept")
    return table[column].cast(pl.String).drop_nulls().to_list()


def _table_names(path: Path) -> list[str]:
    """The names in the column with a known name or, without a header, in the only text column."""
    rows = read_table(path, EXPECTED)
    encoded = [[field.encode() for field in row] for row in rows[:100]]
    # In a table with one column, "label" can be a concept, not a header.
    known = NAMES if any(len(row) > 1 for row in rows) else NAMES[:2]
    if is_header(encoded, known):
        column = known_column(rows[0], known)
        if column is None:
            raise UserError(f"{path}: found header {', '.join(rows[0])}; expected a column named concept")
        place, rows = rows[0].index(column), rows[1:]
    else:
        place = text_column(str(path), encoded, "name it concept in a first row")
    return [row[place] for row in rows if place < len(row)]
