"""The threshold delta: a candidate too similar to its concept would compete with it (paper 3.4)."""

from typing import Any

import numpy as np
import polars as pl

from contrastive_concepts.similarity.store import Embeddings

PAIRS_AT_A_TIME = 100_000


def measure_candidates(
    candidates: pl.DataFrame,
    embeddings: Embeddings,
    delta: float,
    known: "np.ndarray[tuple[int, int], np.dtype[Any]] | None" = None,
) -> pl.DataFrame:
    """Add `similarity` (float32, cosine of the two concepts) and `similar` (similarity >= delta) to the candidates.

    `embeddings` are unit vectors, a row a concept_id; `known`: cosines [T, T] to use in place of theirs, compared in
    their own precision.
    """
    left = candidates["concept_id"].to_numpy()
    right = candidates["candidate_id"].to_numpy()
    if known is not None:
        found = known[left, right]
        return candidates.with_columns(
            pl.Series("similarity", found.astype(np.float32), pl.Float32),
            pl.Series("similar", found >= known.dtype.type(delta), pl.Boolean),
        )
    similarity = np.empty(len(left), np.float32)
    for start in range(0, len(left), PAIRS_AT_A_TIME):
        rows = slice(start, start + PAIRS_AT_A_TIME)
        similarity[rows] = np.einsum("nd,nd->n", embeddings[left[rows]], embeddings[right[rows]])
    # Compared as float32: 0.8 read from a config is not representable, and its neighbours must not tip the scale.
    return candidates.with_columns(
        pl.Series("similarity", similarity, pl.Float32),
        pl.Series("similar", similarity >= np.float32(delta), pl.Boolean),
    )
