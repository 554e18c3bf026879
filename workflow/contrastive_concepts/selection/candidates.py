"""Finds the pairs of concepts above gamma and compares their cosine with delta (paper 3.4)."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
from scipy import sparse

from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.vocabulary.lemmas import concept_key

PAIRS_AT_A_TIME = 100_000
CANDIDATES = {
    "concept_id": pl.Int32,
    "candidate_id": pl.Int32,
    "cooccurrences": pl.Int64,
    "frequency": pl.Float64,
    "stopped": pl.Boolean,
}


def find_candidates(
    matrix: sparse.csr_array,
    concepts: Sequence[str],
    gamma: float,
    stoplist: Sequence[str],
    stop_by: Literal["name", "lemma"] = "name",
) -> pl.DataFrame:
    """Every pair (i, j), j != i, with X[i, j] / X[i, i] > gamma (strict), the most frequent first for each concept.

    A candidate on the stop-list stays in the table with `stopped` set. stop_by "name" is the authors' rule: "photo"
    does not stop "photos" or "Photo". "lemma" stops both. A concept that no caption mentions has no candidates.
    """
    pairs = sparse.coo_array(matrix)
    captions = matrix.diagonal()
    i, j = pairs.coords
    frequency = pairs.data / np.maximum(captions[i], 1)
    keep = (i != j) & (frequency > gamma)
    stopped = np.array(stopped_by(concepts, stoplist, stop_by), bool)
    table = pl.DataFrame(
        {
            "concept_id": i[keep].astype(np.int32),
            "candidate_id": j[keep].astype(np.int32),
            "cooccurrences": pairs.data[keep],
            "frequency": frequency[keep],
            "stopped": stopped[j[keep]],
        },
        schema=CANDIDATES,
    )
    return table.sort("concept_id", "cooccurrences", "candidate_id", descending=[False, True, False])


def measure_candidates(
    candidates: pl.DataFrame,
    embeddings: Embeddings,
    delta: float | None,
    known: "np.ndarray[tuple[int, int], np.dtype[Any]] | None" = None,
) -> pl.DataFrame:
    """Add `similarity` (float32, cosine of the two concepts) and `similar` (similarity >= delta) to the candidates.

    A candidate too similar to its concept would compete with it for pixels. embeddings: unit vectors, row = concept_id.
    known: cosines [T, T] to use instead, compared in their own precision. delta None: no candidate is similar.
    """
    left = candidates["concept_id"].to_numpy()
    right = candidates["candidate_id"].to_numpy()
    if known is None:
        measured = np.empty(len(left), np.float32)
        for start in range(0, len(left), PAIRS_AT_A_TIME):
            rows = slice(start, start + PAIRS_AT_A_TIME)
            measured[rows] = np.einsum("nd,nd->n", embeddings[left[rows]], embeddings[right[rows]])
    else:
        measured = known[left, right]
    # Compare in the cosines' dtype: a delta such as 0.8 is rounded there in the same way as the cosines.
    similar = np.zeros(len(left), bool) if delta is None else measured >= measured.dtype.type(delta)
    return candidates.with_columns(
        pl.Series("similarity", measured.astype(np.float32), pl.Float32), pl.Series("similar", similar, pl.Boolean)
    )


def stopped_by(concepts: Sequence[str], stoplist: Sequence[str], by: Literal["name", "lemma"]) -> list[bool]:
    """Whether each concept is on the stop-list. by: see `find_candidates`."""
    if by == "name":
        return [concept in set(stoplist) for concept in concepts]
    keys = {concept_key(word) for word in stoplist}
    return [concept_key(concept) in keys for concept in concepts]
