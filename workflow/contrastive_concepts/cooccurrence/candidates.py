"""Row-normalised frequencies and the threshold gamma (paper 3.4)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl
from scipy import sparse

from contrastive_concepts.vocabulary.lemmas import concept_key

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
    """Every pair (i, j), j != i, with X[i, j] / X[i, i] > gamma (strict), the most frequent first within a concept.

    A candidate on the stop-list stays in the table, marked `stopped`. By name, as in the authors' rule, "photo" stops
    neither "photos" nor "Photo"; by lemma it stops both. A concept that no caption mentions has none.
    """
    pairs = sparse.coo_array(matrix)
    captions = matrix.diagonal()
    i, j = pairs.coords
    frequency = pairs.data / np.maximum(captions[i], 1)
    keep = (i != j) & (frequency > gamma)
    stopped = np.array(_stopped(concepts, stoplist, stop_by), bool)
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


def _stopped(concepts: Sequence[str], stoplist: Sequence[str], by: Literal["name", "lemma"]) -> list[bool]:
    if by == "name":
        return [concept in set(stoplist) for concept in concepts]
    keys = {concept_key(word) for word in stoplist}
    return [concept_key(concept) in keys for concept in concepts]
