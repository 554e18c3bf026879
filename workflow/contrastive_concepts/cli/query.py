"""`contrastive-concepts query`: look up contrastive concepts in a dictionary."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contrastive_concepts.errors import UserError

if TYPE_CHECKING:
    from contrastive_concepts.dictionary.contrastive import Match


def query(
    texts: Annotated[
        list[str],
        typer.Argument(
            metavar="[DICTIONARY] TEXT...",
            help="Concepts to segment; any text. If the first is a folder or an address, it is the dictionary.",
        ),
    ],
    dictionary: Annotated[
        str | None,
        typer.Option("--dictionary", "-d", help="Name, folder or address of a dictionary. By default redcaps."),
    ] = None,
    union: Annotated[
        bool, typer.Option("--union", help="Treat the texts as queries for one image (paper 3.6).")
    ] = False,
    beta: Annotated[
        float | None, typer.Option(help="With --union: concepts with a cosine to any query above this are dropped.")
    ] = None,
    background: Annotated[bool, typer.Option(help="Put 'background' first.")] = True,
    types: Annotated[
        bool, typer.Option("--types", help="Also print what was rejected: confusable, part, abstract, generic words.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the contrastive concepts of each text."""
    if dictionary is None and _is_dictionary(texts[0]):
        dictionary, *texts = texts
    if not texts:
        raise UserError(f"query: found the dictionary {dictionary} and no text, expected at least one")
    if union and types:
        raise UserError("--types: found with --union, expected single queries")
    from contrastive_concepts.dictionary.contrastive import ContrastiveConcepts

    loaded = ContrastiveConcepts.load(dictionary, background=background)
    if union:
        merged = loaded.union(texts, loaded.manifest.thresholds["beta"] if beta is None else beta)
        print(
            json.dumps({"queries": texts, "contrastive_concepts": merged}, ensure_ascii=False)
            if as_json
            else ", ".join(merged)
        )
        return
    matches = loaded.lookup(texts)
    if types:
        typed = [loaded.typed(match) for match in matches]
        if as_json:
            told = [{**_looked_up(match), "types": each} for match, each in zip(matches, typed, strict=True)]
            print(json.dumps(told, ensure_ascii=False, indent=1))
        else:
            print("\n".join(_types(match, each) for match, each in zip(matches, typed, strict=True)))
        return
    if as_json:
        print(json.dumps([asdict(match) for match in matches], ensure_ascii=False, indent=1))
    else:
        print("\n".join(_describe(match) for match in matches))


def _is_dictionary(text: str) -> bool:
    """Whether a text is written like a path or an address, or is the folder of a dictionary."""
    return "/" in text or os.sep in text or (Path(text) / "manifest.json").is_file()


def _types(match: "Match", typed: Mapping[str, Sequence[str]]) -> str:
    return "\n".join([_name(match), *(f"    {kind}: {', '.join(names) or '(none)'}" for kind, names in typed.items())])


def _looked_up(match: "Match") -> dict[str, object]:
    return {name: value for name, value in asdict(match).items() if name != "contrastive_concepts"}


def _describe(match: "Match") -> str:
    return f"{_name(match)}\n    {', '.join(match.contrastive_concepts) or '(none)'}"


def _name(match: "Match") -> str:
    """The query, and the concept that it was mapped to if that is another."""
    if match.query == match.concept:
        return match.query
    return f"{match.query} -> {match.concept} ({match.remark})"
