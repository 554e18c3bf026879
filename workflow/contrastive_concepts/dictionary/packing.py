"""Packs dictionaries into one text for the explorer's page."""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from contrastive_concepts.selection.select import REASONS

NONE = 2**32 - 1
"""A count that is not known. A corpus has fewer captions."""
CONCEPTS = pl.Schema({"concept": pl.String, "count": pl.Int64, "p_visible": pl.Float64, "visible": pl.Boolean})
PAIRS = pl.Schema(
    {
        "concept": pl.String,
        "contrastive_concept": pl.String,
        "cooccurrences": pl.Int64,
        "frequency": pl.Float64,
        "similarity": pl.Float32,
    }
)
REJECTED = pl.Schema({**PAIRS, "reason": pl.String()})

Column = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Tables:
    """A dictionary's concepts, its contrastive concepts and its rejected candidates."""

    concepts: pl.DataFrame
    kept: pl.DataFrame
    rejected: pl.DataFrame

    @classmethod
    def read(cls, folder: Path) -> Self:
        def table(name: str, columns: pl.Schema) -> pl.DataFrame:
            # A list written without captions has columns of nulls.
            return pl.read_parquet(folder / name, columns=list(columns)).cast(columns)

        return cls(
            table("concepts.parquet", CONCEPTS),
            table("contrastive_concepts.parquet", PAIRS),
            table("rejected.parquet", REJECTED),
        )


def pack(dictionaries: Sequence[Tables], facts: Sequence[Mapping[str, Any]], head: Mapping[str, Any]) -> str:
    """gzip in base64: length of the head (uint32), head (JSON, padded to 4 bytes), then columns of 4-byte numbers.

    facts: what the head says of each dictionary beside its concepts. head: what else the head says. Columns of each
    dictionary: its concepts' ids int32, then for kept and for rejected pairs: offsets int32 [concepts + 1], id int32,
    count uint32 (NONE if not known), frequency and similarity float32 (NaN if not measured); for rejected pairs also
    the index of the reason. Ids number the concepts of all dictionaries first, then other names.
    """
    concepts = dict.fromkeys(name for each in dictionaries for name in each.concepts["concept"])
    names = dict(concepts)
    for each in dictionaries:
        for pairs in (each.kept, each.rejected):
            names |= dict.fromkeys(pairs["contrastive_concept"])
    ids = {name: number for number, name in enumerate(names)}
    described = [
        {
            **each,
            "counts": tables.concepts["count"].to_list(),
            "p_visible": tables.concepts["p_visible"].round(3).to_list(),
            "visible": tables.concepts["visible"].to_list(),
            "pairs": [tables.kept.height, tables.rejected.height],
        }
        for tables, each in zip(dictionaries, facts, strict=True)
    ]
    content = {**head, "names": list(names), "concepts": len(concepts), "reasons": REASONS, "dictionaries": described}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    columns = [column for tables in dictionaries for column in _columns(tables, ids, len(concepts))]
    blob = np.uint32(len(text)).tobytes() + text + b"".join(column.tobytes() for column in columns)
    return base64.b64encode(gzip.compress(blob, 6, mtime=0)).decode()


def _columns(tables: Tables, ids: dict[str, int], concepts: int) -> list[Column]:
    rejected = _ordered(tables.rejected, ids)
    return [
        np.array([ids[name] for name in tables.concepts["concept"]], np.int32),
        *_pairs(_ordered(tables.kept, ids), ids, concepts),
        *_pairs(rejected, ids, concepts),
        np.array([REASONS.index(reason) for reason in rejected["reason"]], np.int32),
    ]


def _pairs(pairs: pl.DataFrame, ids: dict[str, int], concepts: int) -> list[Column]:
    left = np.array([ids[name] for name in pairs["concept"]], np.int64)
    offsets = np.zeros(concepts + 1, np.int32)
    offsets[1:] = np.cumsum(np.bincount(left, minlength=concepts))
    return [
        offsets,
        np.array([ids[name] for name in pairs["contrastive_concept"]], np.int32),
        pairs["cooccurrences"].fill_null(NONE).cast(pl.UInt32).to_numpy(),
        *(
            _short(pairs[name].cast(pl.Float32).fill_null(float("nan")).to_numpy())
            for name in ("frequency", "similarity")
        ),
    ]


def _short(values: Column) -> Column:
    """Float32 to three digits: 12 bits of the mantissa are kept, and gzip shortens the others, which are 0."""
    bits = (values.view(np.uint32) + np.uint32(1 << 10)) & ~np.uint32((1 << 11) - 1)
    return np.where(np.isnan(values), values, bits.view(np.float32))


def _ordered(pairs: pl.DataFrame, ids: dict[str, int]) -> pl.DataFrame:
    """Sort by concept. The order within a concept stays unchanged."""
    order = np.argsort([ids[name] for name in pairs["concept"]], kind="stable")
    return pairs[order]
