"""The card of a published dictionary: README.md as the Hugging Face hub reads it."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from contrastive_concepts.dictionary.manifest import Manifest
from contrastive_concepts.markup import markdown_table

TAGS = ["open-vocabulary-segmentation", "contrastive-concepts"]


def facts(manifest: Manifest) -> dict[str, object]:
    """How a dictionary was made: corpus, thresholds, encoder and judge."""
    judges = manifest.judge.get("model") or manifest.judge.get("judge") or []
    return {
        "corpus": manifest.corpus,
        **manifest.thresholds,
        "encoder": manifest.encoder.name,
        "judge": ", ".join(str(value) for value in judges),
    }


def card(name: str, tables: Mapping[str, str], text: str, licence: str | None = None) -> str:
    """A head that the hub and `datasets` read, then the text. tables: configuration -> its files; the first is shown.

    licence: the hub's short name of one, such as cc-by-4.0.
    """
    configurations: list[dict[str, Any]] = [
        {"config_name": table, "data_files": [{"split": "train", "path": path}]} for table, path in tables.items()
    ]
    if len(configurations) > 1:
        configurations[0]["default"] = True
    head = {
        **({"license": licence} if licence else {}),
        "pretty_name": name,
        "task_categories": ["image-segmentation"],
        "tags": TAGS,
        "configs": configurations,
    }
    shown = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return f"---\n{shown}---\n\n{text}"


def fact_table(found: Iterable[tuple[str, object]]) -> str:
    """Two columns, escaped; numbers with separators of thousands."""
    return markdown_table(
        ["", ""], [(name, f"{value:,}" if isinstance(value, int) else value) for name, value in found]
    )
