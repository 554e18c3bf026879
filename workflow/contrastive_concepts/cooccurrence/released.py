"""X from the authors' release, over the concepts of the vocabulary."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl
from scipy import sparse

from contrastive_concepts.vocabulary.concepts import merged_into


def released_matrix(
    matrix: sparse.csr_array, names: Sequence[str], concepts: pl.DataFrame, mode: Literal["bag", "phrase"]
) -> sparse.csr_array:
    """X, int64 [|T|, |T|], over the vocabulary's concepts, from the release's [M, M] over `names`.

    A concept that is not in the release has no captions. If several names belong to one concept, the first is used:
    the names cannot be summed, because the release does not contain how many captions they share.
    """
    place: dict[int, int] = {}
    for number, concept in enumerate(merged_into(names, concepts, mode)):
        if concept is not None:
            place.setdefault(concept, number)
    selection = sparse.csr_array(
        (np.ones(len(place), np.int64), (list(place), list(place.values()))), shape=(concepts.height, len(names))
    )
    found = sparse.csr_array(selection @ matrix @ selection.T)
    found.sort_indices()
    return found
