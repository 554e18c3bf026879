"""Filters the contrastive concepts of several simultaneous queries (paper 3.6)."""

import numpy as np
import numpy.typing as npt


def far_from_queries(
    negatives: npt.NDArray[np.float32], queries: npt.NDArray[np.float32], beta: float
) -> npt.NDArray[np.bool_]:
    """bool [N]: the negatives whose cosine to every query is at most `beta`. A cosine equal to beta passes.

    negatives: unit vectors [N, D]; queries: [Q, D]. The paper adds "background" to each query's contrastive concepts,
    so it is one of the negatives here. Both sides are compared as float32, like delta. A beta of 1 keeps all negatives,
    even if the cosine of a vector with itself is rounded above 1.
    """
    if beta >= 1:
        return np.ones(len(negatives), bool)
    # No matrix product: there, the rounding of one pair can depend on the other rows.
    cosines = np.einsum("nd,qd->nq", np.asarray(negatives, np.float32), np.asarray(queries, np.float32))
    return np.asarray(cosines.max(axis=1, initial=-1.0) <= np.float32(beta))
