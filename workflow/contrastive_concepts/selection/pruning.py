"""Beyond the paper: shortens lists of contrastive concepts by removing redundant ones and by a cap. Off by default."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
import polars as pl

from contrastive_concepts.encoders import Embeddings

REDUNDANT, CAPPED = "redundant", "over the cap"


def prune(
    kept: pl.DataFrame,
    rejected: pl.DataFrame,
    concepts: Sequence[str],
    embeddings: Embeddings,
    redundancy: float | None,
    max_concepts: int | None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Move pairs from `kept` to `rejected`: first the redundant ones, then those over the cap. Returns both tables.

    In order of rank, a contrastive concept is redundant if its cosine to an earlier one that stays is `redundancy` or
    more. Of the others, the first `max_concepts` stay. None skips a step. embeddings: unit vectors, one row per name
    in `concepts`.
    """
    if redundancy is None and max_concepts is None:
        return kept, rejected
    row = {name: number for number, name in enumerate(concepts)}
    reasons: list[str | None] = []
    for group in kept.partition_by("concept", maintain_order=True):
        rows = [row[name] for name in group["contrastive_concept"]]
        stays = np.ones(len(rows), bool) if redundancy is None else not_redundant(embeddings[rows], redundancy)
        capped = (
            {}
            if max_concepts is None
            else dict.fromkeys(islice(np.flatnonzero(stays).tolist(), max_concepts, None), CAPPED)
        )
        reasons += [capped.get(place) if stay else REDUNDANT for place, stay in enumerate(stays)]
    marked = kept.with_columns(pl.Series("reason", reasons, pl.String))
    removed = marked.filter(pl.col("reason").is_not_null()).select(rejected.columns)
    left = marked.filter(pl.col("reason").is_null()).drop("reason")
    rank = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("concept")
    order = pl.col("concept").replace_strict(row, return_dtype=pl.Int32)
    return left.with_columns(rank=rank), pl.concat([rejected, removed]).sort(order, maintain_order=True)


def not_redundant(vectors: Embeddings, threshold: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """bool [n]: the rows that stay if each of them, in order, removes later rows with a cosine >= `threshold`."""
    near = vectors @ vectors.T >= np.float32(threshold)
    stays = np.ones(len(vectors), bool)
    for place in range(len(vectors)):
        if stays[place]:
            stays[place + 1 :] &= ~near[place, place + 1 :]
    return stays
