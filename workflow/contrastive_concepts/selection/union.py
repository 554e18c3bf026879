"""Several queries at once: which of their contrastive concepts stay (paper 3.6)."""

import numpy as np
import numpy.typing as npt


def far_from_queries(
    negatives: npt.NDArray[np.float32], queries: npt.NDArray[np.float32], beta: float
) -> npt.NDArray[np.bool_]:
    """Which negatives have a cosine of at most `beta` to every query, bool [N]; at exactly beta one stays.

    negatives: unit vectors [N, D]; queries: [Q, D]. The paper adds "background" to each query's contrastive concepts,
    so it is one of the negatives here. Both sides are compared as float32, as delta is; a beta of 1 keeps all, whatever
    the rounding of a vector with itself.
    """
    if beta >= 1:
        return np.ones(len(negatives), bool)
    # Not by a matrix product, whose rounding of a pair depends on its neighbours.
    cosines = np.einsum("nd,qd->nq", np.asarray(negatives, np.float32), np.asarray(queries, np.float32))
    return np.asarray(cosines.max(axis=1, initial=-1.0) <= np.float32(beta))
