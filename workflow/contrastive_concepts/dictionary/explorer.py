"""Writes one HTML page to search a dictionary. The page needs no server, network or other files."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jinja2 import Environment

from contrastive_concepts.config.selection import TYPES
from contrastive_concepts.dictionary.card import facts
from contrastive_concepts.dictionary.manifest import read_manifest
from contrastive_concepts.selection.select import REASONS

TEMPLATE = Path(__file__).with_name("explorer.html")


def write_explorer(folder: Path, page: Path) -> None:
    """Write the page for a dictionary's folder. Raises UserError for a folder that is not a dictionary."""
    manifest = read_manifest(folder)
    template = Environment(autoescape=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    told = {**facts(manifest), **manifest.counts}
    html = template.render(title=f"{manifest.run}: contrastive concepts", facts=told, data=_packed(folder))
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html, encoding="utf-8")


def _packed(folder: Path) -> str:
    """gzip in base64: length of the head (uint32), head (JSON, padded to 4 bytes), then columns of 4-byte numbers.

    Columns, for kept and then for rejected pairs: offsets int32 [concepts + 1], id int32, frequency and similarity
    float32 (NaN if not measured); for rejected pairs also the index of the reason. Ids number the concepts first, then
    other names.
    """
    concepts = pl.read_parquet(folder / "concepts.parquet")
    kept = pl.read_parquet(folder / "contrastive_concepts.parquet")
    rejected = pl.read_parquet(folder / "rejected.parquet")
    names = dict.fromkeys(concepts["concept"].to_list())
    names |= dict.fromkeys(kept["contrastive_concept"].to_list()) | dict.fromkeys(
        rejected["contrastive_concept"].to_list()
    )
    ids = {name: number for number, name in enumerate(names)}
    head = {
        "names": list(names),
        "concepts": concepts.height,
        "counts": concepts["count"].to_list(),
        "visible": [None if p is None else round(p, 3) for p in concepts["p_visible"].to_list()],
        "reasons": [f"{TYPES[reason]} ({reason})" if reason in TYPES else reason for reason in REASONS],
        "pairs": [kept.height, rejected.height],
    }
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    columns = [*_columns(kept, ids, concepts.height), *_columns(rejected, ids, concepts.height)]
    columns.append(np.array([REASONS.index(reason) for reason in _ordered(rejected, ids)["reason"]], np.int32))
    blob = np.uint32(len(text)).tobytes() + text + b"".join(column.tobytes() for column in columns)
    return base64.b64encode(gzip.compress(blob, 6, mtime=0)).decode()


def _columns(pairs: pl.DataFrame, ids: dict[str, int], concepts: int) -> "list[np.ndarray[Any, Any]]":
    pairs = _ordered(pairs, ids)
    left = np.array([ids[name] for name in pairs["concept"]], np.int64)
    offsets = np.zeros(concepts + 1, np.int32)
    offsets[1:] = np.cumsum(np.bincount(left, minlength=concepts))
    return [
        offsets,
        np.array([ids[name] for name in pairs["contrastive_concept"]], np.int32),
        *(pairs[name].cast(pl.Float32).fill_null(float("nan")).to_numpy() for name in ("frequency", "similarity")),
    ]


def _ordered(pairs: pl.DataFrame, ids: dict[str, int]) -> pl.DataFrame:
    """Sort by concept. The order within a concept stays unchanged."""
    order = np.argsort([ids[name] for name in pairs["concept"]], kind="stable")
    return pairs[order]
