"""`contrastive-concepts query`: look up contrastive concepts in a dictionary."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from contrastive_concepts.dictionary.contrastive import ContrastiveConcepts, Match


def query(
    folder: Annotated[Path, typer.Argument(help="Folder of a dictionary.")],
    texts: Annotated[list[str], typer.Argument(help="Concepts to segment; any text.")],
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
    dictionary = ContrastiveConcepts.load(folder, background=background)
    if union:
        merged = dictionary.union(texts, dictionary.manifest.thresholds["beta"] if beta is None else beta)
        print(
            json.dumps({"queries": texts, "contrastive_concepts": merged}, ensure_ascii=False)
            if as_json
            else ", ".join(merged)
        )
        return
    if types:
        typed = {text: dictionary.typed(text) for text in texts}
        lines = (_types(text, each) for text, each in typed.items())
        print(json.dumps(typed, ensure_ascii=False, indent=1) if as_json else "\n".join(lines))
        return
    matches = dictionary.lookup(texts)
    if as_json:
        print(json.dumps([asdict(match) for match in matches], ensure_ascii=False, indent=1))
    else:
        print("\n".join(_describe(match) for match in matches))


def _types(text: str, typed: Mapping[str, Sequence[str]]) -> str:
    return "\n".join([text, *(f"    {kind}: {', '.join(names) or '(none)'}" for kind, names in typed.items())])


def _describe(match: Match) -> str:
    matched = match.query
    if match.query != match.concept:
        warning = ", far from every concept" if match.far else ""
        matched += f" -> {match.concept} (similarity {match.similarity:.2f}{warning})"
    return f"{matched}\n    {', '.join(match.contrastive_concepts) or '(none)'}"
