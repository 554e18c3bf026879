"""Writes one HTML page to browse a dictionary, or two side by side. It needs no server, network or other files."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from contrastive_concepts.config.selection import BACKGROUND, CONTEXT, TYPES
from contrastive_concepts.dictionary.compare import Comparison, compare
from contrastive_concepts.dictionary.example import telling_concept
from contrastive_concepts.dictionary.manifest import Manifest, read_manifest
from contrastive_concepts.dictionary.packing import Tables, pack

FOLDER = Path(__file__).with_name("explorer_page")
SCRIPTS = ("elements", "data", "list", "neighbourhood", "comparison", "copying", "concept", "main")


def write_explorer(folder: Path, page: Path, other: Path | None = None) -> None:
    """Write the page for a dictionary's folder; with `other`, also for what the other dictionary adds and drops.

    Raises UserError for a folder that is not a dictionary.
    """
    folders = [folder] if other is None else [folder, other]
    manifests = [read_manifest(each) for each in folders]
    tables = [Tables.read(each) for each in folders]
    runs = [manifest.run for manifest in manifests]
    labels = runs if other is None else [f"{letter}: {run}" for letter, run in zip("AB", runs, strict=True)]
    comparison = None if other is None else compare(folder, other)
    example = telling_concept(tables[0], _changed(comparison)) or telling_concept(tables[0])
    head = {
        "example": None if example is None else tables[0].concepts["concept"].to_list().index(example),
        "summary": None if comparison is None else comparison.summary,
        "background": BACKGROUND,
        "context": CONTEXT,
        "types": TYPES,
    }
    facts = [_described(manifest, label) for manifest, label in zip(manifests, labels, strict=True)]
    # Only these two texts may style and run: a name that found its way into the markup could not.
    style, script = _text("style.css"), '"use strict";\n' + "\n".join(_text(f"{name}.js") for name in SCRIPTS)
    html = (
        Environment(autoescape=True)
        .from_string(_text("page.html"))
        .render(
            title=f"{' and '.join(labels)}: contrastive concepts",
            about="About this dictionary" if other is None else "About these dictionaries",
            style=Markup(style),
            style_hash=_hash(style),
            script=Markup(script),
            script_hash=_hash(script),
            data=pack(tables, facts, head),
        )
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html, encoding="utf-8", newline="\n")


def _described(manifest: Manifest, label: str) -> dict[str, Any]:
    judge = manifest.judge.get("model") or manifest.judge.get("judge") or []
    facts = {
        "run": manifest.run,
        "corpus": manifest.corpus,
        **manifest.thresholds,
        "encoder": manifest.encoder.name,
        "judge": ", ".join(str(value) for value in judge),
        **manifest.counts,
    }
    thresholds = {name: manifest.thresholds.get(name) for name in ("gamma", "delta")}
    return {"label": label, "facts": facts, **thresholds}


def _changed(comparison: Comparison | None) -> list[str] | None:
    """The concepts with additions and losses, else those with either. None if nothing is compared."""
    if comparison is None:
        return None
    table = comparison.concepts
    turned = table.filter(table["added"].list.len().gt(0) & table["dropped"].list.len().gt(0))
    return (turned if turned.height else table.filter(table["jaccard"] < 1))["concept"].to_list()


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
