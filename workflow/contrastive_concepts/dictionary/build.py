"""From measured candidates to a published dictionary and its manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from contrastive_concepts.config.run import RunSettings
from contrastive_concepts.dictionary.manifest import EncoderDescription, Manifest
from contrastive_concepts.dictionary.pruning import prune
from contrastive_concepts.dictionary.publish import publish
from contrastive_concepts.dictionary.selection import REASONS, describe_concepts, select
from contrastive_concepts.errors import UserError
from contrastive_concepts.provenance import code_sha256, versions
from contrastive_concepts.similarity.store import Embeddings

BLOCK = 4096
"""Vectors that are compared with as many others at a time: 64 MB of cosines."""


def build_dictionary(
    folder: Path,
    settings: RunSettings,
    concepts: pl.DataFrame,
    candidates: pl.DataFrame,
    verdicts: pl.DataFrame,
    embeddings: Embeddings,
    encoder: dict[str, Any],
    shards: pl.DataFrame | None = None,
    statistics: pl.DataFrame | None = None,
    parts: pl.DataFrame | None = None,
) -> Manifest:
    """Select, count what each filter took, and publish `folder`; returns the manifest without its file hashes.

    `concepts` bears `count`; `candidates` are measured (`similarity`, `similar`); `shards` and `statistics` describe a
    corpus of captions, None for a concept index; `parts` (concept, part) are removed where they are given. Raises
    UserError where a concept was not judged, or no contrastive concept is left.
    """
    table = describe_concepts(concepts, verdicts, settings.visibility.unparsed)
    kept, rejected = select(candidates, table, parts)
    selection = settings.selection
    names = table["concept"].to_list()
    kept, rejected = prune(kept, rejected, names, embeddings, selection.redundancy, selection.max_concepts)
    reasons = dict(rejected.group_by("reason").len().iter_rows())
    require_contrastive(folder, table.height, kept.height, reasons)
    manifest = Manifest(
        run=settings.run,
        corpus=settings.captions.corpus,
        config=settings.model_dump(),
        thresholds={
            "gamma": selection.gamma_for(settings.captions.corpus),
            "delta": selection.delta,
            "beta": selection.beta,
        },
        encoder=EncoderDescription.model_validate(encoder),
        judge={
            name: verdicts[name].unique(maintain_order=True).to_list()
            for name in ("judge", "model", "revision", "prompt_hash", "weights")
            if name in verdicts.columns
        }
        | {"remarks": _remarks(verdicts)},
        shards=[] if shards is None else shards.drop("modified").to_dicts(),
        captions={} if statistics is None else _totals(statistics),
        counts={
            "concepts": table.height,
            "concepts met in captions": int((table["count"] > 0).sum()),
            "visible concepts": int(table["visible"].sum()),
            "unparsed verdicts": int((~table["parsed"]).sum()),
            "candidates": candidates.height,
            **{f"rejected: {reason}": reasons.get(reason, 0) for reason in REASONS},
            "contrastive concepts": kept.height,
            "concepts without any": table.height - kept["concept"].n_unique(),
        },
        typical_nearest_similarity=typical_nearest_similarity(embeddings),
        versions=versions(),
        code_sha256=code_sha256(Path(__file__)),
        files={},
    )
    publish(folder, table, kept, rejected, embeddings, manifest)
    return manifest


def require_contrastive(folder: Path, concepts: int, kept: int, rejected: Mapping[str, int]) -> None:
    """Raises UserError where no contrastive concept is left to publish; `rejected`: candidates by reason."""
    if not kept:
        taken = ", ".join(f"{count:,} {reason}" for reason, count in rejected.items())
        raise UserError(
            f"{folder}: found no contrastive concept for any of {concepts:,} concepts, expected at least one "
            f"({f'candidates rejected: {taken}' if taken else 'no candidates'})"
        )


def _remarks(verdicts: pl.DataFrame) -> dict[str, int]:
    """How many answers bear each remark; verdicts of earlier versions bear none."""
    if "remark" not in verdicts.columns:
        return {}
    return dict(verdicts.filter(pl.col("remark") != "")["remark"].value_counts(sort=True).iter_rows())


def _totals(statistics: pl.DataFrame) -> dict[str, int]:
    numbers = statistics.drop("shard", "skipped")
    return {name: int(numbers[name].sum()) for name in numbers.columns} | {
        "skipped shards": statistics["skipped"].count()
    }


def typical_nearest_similarity(embeddings: Embeddings) -> float:
    """The cosine that three quarters of the concepts exceed to the concept nearest to them."""
    if len(embeddings) < 2:
        return 0.0
    return float(np.quantile(nearest_similarities(embeddings), 0.25))


def nearest_similarities(embeddings: Embeddings) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The cosine of each unit vector [n, d] to the nearest other one, float32 [n]; n is 2 or more.

    Each pair is compared once, block by block: half of what an index does that is asked for every row.
    """
    nearest = np.full(len(embeddings), -np.inf, np.float32)
    starts = range(0, len(embeddings), BLOCK)
    for first in starts:
        rows = embeddings[first : first + BLOCK]
        for second in starts[first // BLOCK :]:
            cosines = rows @ embeddings[second : second + BLOCK].T
            if first == second:
                np.fill_diagonal(cosines, -np.inf)
            for start, axis in ((first, 1), (second, 0)):
                part = nearest[start : start + BLOCK]
                np.maximum(part, cosines.max(axis), out=part)
    return nearest
