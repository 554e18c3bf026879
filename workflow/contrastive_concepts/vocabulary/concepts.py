"""The concept list T: read from a file, cleaned, its duplicates merged and reported."""

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
"""Names of columns of concepts; of several in one table the first counts."""
EXPECTED = "a list of concepts (vocabulary.path)"
MERGED = {"name": pl.String, "kept": pl.String, "reason": pl.String}


def read_names(path: str | Path) -> list[str]:
    """Concept names as they stand in a text, CSV, TSV, parquet or JSON file; a line's outer blanks are left out.

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
    """A concept's name as it is shown and embedded: `hot_dog` -> `hot dog`; its case is kept."""
    return " ".join(unicodedata.normalize("NFC", name).replace("_", " ").split())


def merge_names(names: Iterable[str], mode: Literal["bag", "phrase"]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Merge names that match the same captions.

    Returns the concepts (concept_id, concept, words: the lemmas that are matched) in order of first appearance, and a
    report of every name that did not become a concept (name, kept: the concept it was merged into, reason).
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
    """For each name the concept_id that it was merged into by `merge_names`, None where there is none.

    The name of a list that spaCy has lemmatised (sunglass) goes to the concept that it was made from (sunglasses),
    where no concept has its words.
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
    """Of the column with a known name; without a header, of the only column of text."""
    rows = read_table(path, EXPECTED)
    encoded = [[field.encode() for field in row] for row in rows[:100]]
    # In a mere list "label" is a concept.
    known = NAMES if any(len(row) > 1 for row in rows) else NAMES[:2]
    if is_header(encoded, known):
        column = known_column(rows[0], known)
        if column is None:
            raise UserError(f"{path}: found header {', '.join(rows[0])}; expected a column named concept")
        place, rows = rows[0].index(column), rows[1:]
    else:
        place = text_column(str(path), encoded, "name it concept in a first row")
    return [row[place] for row in rows if place < len(row)]
