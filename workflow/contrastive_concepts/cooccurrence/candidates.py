"""Row-normalised frequencies and the threshold gamma (paper 3.4)."""

from collections.abc import Sequence

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
    matrix: sparse.csr_array, concepts: Sequence[str], gamma: float, stoplist: Sequence[str]
) -> pl.DataFrame:
    """Every pair (i, j), j != i, with X[i, j] / X[i, i] > gamma (strict), the most frequent first within a concept.

    A candidate on the stop-list stays in the table, marked `stopped`. A concept that no caption mentions has none.
    """
    pairs = sparse.coo_array(matrix)
    captions = matrix.diagonal()
    i, j = pairs.coords
    frequency = pairs.data / np.maximum(captions[i], 1)
    keep = (i != j) & (frequency > gamma)
    stopped_words = {concept_key(word) for word in stoplist}
    stopped = np.array([concept_key(concept) in stopped_words for concept in concepts], bool)
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
