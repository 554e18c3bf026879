"""Exports a dictionary's answers in formats that other programs read."""

import csv
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from contrastive_concepts.config.selection import BACKGROUND, BETA, CONTEXT
from contrastive_concepts.dictionary.card import card, fact_table, facts
from contrastive_concepts.dictionary.class_names import Separator, read_class_names, write_class_names
from contrastive_concepts.dictionary.contrastive import ContrastiveConcepts, Match
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.cc_text import write_cc_text

Format = Literal["text", "json", "parquet", "csv", "hf", "standalone"]
FirstLine = Literal["replace", "extend", "add"]
JSON_KEYS = ("query", "concept", "similarity", "contrastive_concepts")
COLUMNS = ("query", "concept", "similarity", "rank", "contrastive_concept")
TYPE = "type"
LOADER = Path(__file__).with_name("standalone.py")
STANDALONE = ("concepts.parquet", "contrastive_concepts.parquet", "concepts.faiss", "manifest.json")


def export(
    dictionary: ContrastiveConcepts,
    prompts: Sequence[str],
    target: Path,
    form: Format,
    name: str = "prompts",
    types: bool = False,
) -> list[Path]:
    """Write the contrastive concepts of each prompt, in the given order. Returns the files.

    text: a folder like that of the authors' tool, with `name`.txt (one line per prompt), bkg_`name`.txt (the same,
    "background" first) and mapping_`name`.txt (`prompt: concept`). json: a list of one object per prompt. csv, parquet:
    one row per prompt and contrastive concept. hf: a data-set folder with its card. standalone: the whole dictionary in
    a folder that can be read with numpy, pyarrow and faiss alone; prompts are not used. types: csv and parquet have the
    rejected candidates too and a column `type`, json an object of them, see `ContrastiveConcepts.typed`.
    Raises UserError for a target that exists, or a name that the format cannot represent.
    """
    if types and form not in WRITERS:
        raise UserError(f"types: found the format {form!r}, expected one of {', '.join(WRITERS)}")
    if target.exists() and (target.is_file() or any(target.iterdir())):
        raise UserError(f"{target}: exists, expected a new {'folder' if form in FOLDERS else 'file'}")
    if form in FOLDERS:
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
    if form == "standalone":
        return _standalone(dictionary, target)
    matches = dictionary.lookup(prompts)
    if form == "text":
        return _text(dictionary, matches, target, name)
    if form == "hf":
        return _hugging_face(dictionary, matches, target)
    WRITERS[form](matches, target, [dictionary.typed(match) for match in matches] if types else None)
    return [target]


def export_class_names(
    dictionary: ContrastiveConcepts,
    prompts: Path,
    target: Path,
    separator: Separator = ", ",
    first: FirstLine = "replace",
    beta: float = BETA,
) -> Path:
    """Write a class-name file whose first line, class 0, has the contrastive concepts of all other classes (paper 3.6).

    prompts: a class-name file. first: what happens to its first line. "replace": the concepts take the place of its
    names; "extend": they are added to them; "add": they get a line before it. beta: concepts with a higher cosine to
    any name are dropped. Returns the new file. Raises UserError if it exists, or if nothing was found."""
    if target.exists():
        raise UserError(f"{target}: exists, expected a new file")
    classes = read_class_names(prompts, separator)
    own = classes if first == "add" else classes[1:]
    if not own:
        raise UserError(f"{prompts}: found {len(classes)} line, expected a class beside the background's")
    kept = classes[0] if first == "extend" else []
    found = dictionary.union([name for names in own for name in names], beta)
    if not set(found) - {BACKGROUND}:
        raise UserError(f"{prompts}: found no contrastive concept of its classes in {dictionary.folder}")
    outside = dict.fromkeys([*kept, *found])
    target.parent.mkdir(parents=True, exist_ok=True)
    write_class_names(target, [list(outside), *own], separator)
    return target


FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""First characters of a formula. Includes full-width forms, which some spreadsheets treat like the ASCII ones."""
FOLDERS = ("text", "hf", "standalone")


def _text(dictionary: ContrastiveConcepts, matches: Sequence[Match], target: Path, name: str) -> list[Path]:
    files = [target / f"{name}.txt", target / f"bkg_{name}.txt", target / f"mapping_{name}.txt"]
    # The authors' tool has no special names: a mined "background" stays in its place in both files.
    lists = [dictionary.selected(match.concept) for match in matches]
    write_cc_text(files[0], lists)
    write_cc_text(files[1], [[BACKGROUND, *texts] for texts in lists])
    mapping = []
    for row, match in enumerate(matches, start=1):
        if len(match.query.splitlines()) != 1:
            raise UserError(f"{files[2]}: line {row}: found the prompt {match.query!r}, expected one line")
        mapping.append(f"{match.query}: {match.concept}\n")
    files[2].write_text("".join(mapping), encoding="utf-8")
    return files


Typed = Sequence[Mapping[str, Sequence[str]]] | None
"""Of each match all candidates by type."""


def _json(matches: Sequence[Match], target: Path, typed: Typed = None) -> None:
    content: list[dict[str, Any]] = [{name: getattr(match, name) for name in JSON_KEYS} for match in matches]
    for each, types in zip(content, typed or (), strict=False):
        each["types"] = types
    target.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _csv(matches: Sequence[Match], target: Path, typed: Typed = None) -> None:
    with target.open("w", encoding="utf-8", newline="") as file:
        # Quote all texts: by default, a carriage return is not quoted and would start a new row.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(COLUMNS if typed is None else (*COLUMNS, TYPE))
        for row in _rows(matches, typed):
            writer.writerow([_harmless(cell) if isinstance(cell, str) else cell for cell in row])


def _parquet(matches: Sequence[Match], target: Path, typed: Typed = None) -> None:
    names = COLUMNS if typed is None else (*COLUMNS, TYPE)
    kinds = (pa.string(), pa.string(), pa.float32(), pa.int32(), pa.string(), pa.string())[: len(names)]
    schema = pa.schema(list(zip(names, kinds, strict=True)))
    columns = zip(*_rows(matches, typed), strict=True) if matches else [[] for _ in names]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), target)


WRITERS: dict[str, Callable[[Sequence[Match], Path, Typed], None]] = {"json": _json, "csv": _csv, "parquet": _parquet}


def _hugging_face(dictionary: ContrastiveConcepts, matches: Sequence[Match], target: Path) -> list[Path]:
    data = target / "data" / "train-00000-of-00001.parquet"
    data.parent.mkdir()
    _parquet(matches, data)
    counts = {
        "queries": len(matches),
        "contrastive concepts": sum(len(match.contrastive_concepts) for match in matches),
    }
    text = CARD.format(facts=fact_table([*facts(dictionary.manifest).items(), *counts.items()]))
    readme = target / "README.md"
    readme.write_text(card(dictionary.manifest.run, {"default": "data/train-*"}, text), encoding="utf-8")
    return [data, readme]


CARD = """\
# Contrastive concepts

What each query is usually seen with (CC^D of arXiv 2407.05061): a row a query and contrastive concept, the most
frequent first. Give a segmenter the query and these texts, and keep the pixels of the query.

{facts}
`query`: the text asked; `concept`: the concept of the dictionary that it was mapped to; `similarity`: their cosine;
`rank`: from 1; `contrastive_concept`: the negative.
"""


def _standalone(dictionary: ContrastiveConcepts, target: Path) -> list[Path]:
    for name in STANDALONE:
        shutil.copyfile(dictionary.folder / name, target / name)
    shutil.copyfile(LOADER, target / "contrastive.py")
    return [target / name for name in (*STANDALONE, "contrastive.py")]


def _rows(matches: Sequence[Match], typed: Typed = None) -> list[tuple[str | float | int, ...]]:
    """The rows of all contrastive concepts; with `typed` also those of rejected candidates, and the type of each."""
    rows: list[tuple[str | float | int, ...]] = []
    for number, match in enumerate(matches):
        lists = {CONTEXT: match.contrastive_concepts}
        further = {} if typed is None else {kind: names for kind, names in typed[number].items() if kind != CONTEXT}
        for kind, names in (*lists.items(), *further.items()):
            for rank, text in enumerate(names, start=1):
                row = (match.query, match.concept, match.similarity, rank, text)
                rows.append(row if typed is None else (*row, kind))
    return rows


def _harmless(cell: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run as a formula. CSV only; other formats are exact."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell
