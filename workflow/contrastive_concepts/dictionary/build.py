"""Publishes a selection as a dictionary with its manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from contrastive_concepts.config.run import RunSettings
from contrastive_concepts.dictionary.manifest import EncoderDescription, Manifest
from contrastive_concepts.dictionary.publish import publish
from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.errors import UserError
from contrastive_concepts.provenance import code_sha256, versions
from contrastive_concepts.selection.select import Selection

BLOCK = 4096
"""Vectors per block. Two blocks are compared at a time, which needs 64 MB for the cosines."""


def build_dictionary(
    folder: Path,
    settings: RunSettings,
    selection: Selection,
    verdicts: pl.DataFrame,
    embeddings: Embeddings,
    encoder: dict[str, Any],
    shards: pl.DataFrame | None = None,
    statistics: pl.DataFrame | None = None,
    encoder_folder: Path | None = None,
) -> Manifest:
    """Publish a run's selection as the dictionary `folder`. Returns the manifest without its file hashes.

    verdicts: the table that names the judge. shards, statistics: description of the corpus, None for a concept index.
    encoder_folder: where the files of the carried encoder are, if `encoder` describes one.
    Raises UserError if no contrastive concept is left.
    """
    concepts, counts = selection.concepts, selection.counts
    require_contrastive(folder, counts, concepts.height)
    manifest = Manifest(
        run=settings.run,
        corpus=settings.captions.corpus,
        config=settings.model_dump(),
        thresholds={
            "gamma": settings.selection.gamma_for(settings.captions.corpus),
            "delta": settings.selection.delta,
            "beta": settings.selection.beta,
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
            "concepts": concepts.height,
            "concepts met in captions": int((concepts["count"] > 0).sum()),
            "visible concepts": int(concepts["visible"].sum()),
            "unparsed verdicts": int((~concepts["parsed"]).sum()),
            **counts,
        },
        typical_nearest_similarity=typical_nearest_similarity(embeddings),
        versions=versions(),
        code_sha256=code_sha256(Path(__file__)),
        files={},
    )
    publish(folder, concepts, selection.kept, selection.rejected, embeddings, manifest, encoder_folder)
    return manifest


def require_contrastive(folder: Path, counts: Mapping[str, int], concepts: int) -> None:
    """Raises UserError if no contrastive concept is left to publish. counts: those of `Selection.counts`."""
    if not counts["contrastive concepts"]:
        rejected = {name: count for name, count in counts.items() if name.startswith("rejected: ") and count}
        taken = ", ".join(f"{count:,} {name.removeprefix('rejected: ')}" for name, count in rejected.items())
        raise UserError(
            f"{folder}: found no contrastive concept for any of {concepts:,} concepts, expected at least one "
            f"({f'candidates rejected: {taken}' if taken else 'no candidates'})"
        )


def _remarks(verdicts: pl.DataFrame) -> dict[str, int]:
    """The number of answers with each remark. Verdicts of earlier versions have no remarks."""
    if "remark" not in verdicts.columns:
        return {}
    return dict(verdicts.filter(pl.col("remark") != "")["remark"].value_counts(sort=True).iter_rows())


def _totals(statistics: pl.DataFrame) -> dict[str, int]:
    numbers = statistics.drop("shard", "skipped")
    return {name: int(numbers[name].sum()) for name in numbers.columns} | {
        "skipped shards": statistics["skipped"].count()
    }


def typical_nearest_similarity(embeddings: Embeddings) -> float:
    """The lower quartile of each concept's cosine to its nearest other concept."""
    if len(embeddings) < 2:
        return 0.0
    return float(np.quantile(nearest_similarities(embeddings), 0.25))


def nearest_similarities(embeddings: Embeddings) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The cosine of each unit vector [n, d] to its nearest other vector, float32 [n]. n is 2 or more.

    Compares each pair once, block by block. A query of an index for every row would compare each pair twice.
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
