"""The co-occurrence matrix X: merged from shards, checked, stored (paper 3.4).

X is int64, symmetric, |T| x |T|; X[i, j] is the number of captions that mention both i and j, X[i, i] those with i.
"""

from collections.abc import Iterable
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from scipy import sparse

from contrastive_concepts.errors import UserError


def save_matrix(path: str | Path, matrix: sparse.csr_array) -> None:
    """Write X in scipy's own format."""
    sparse.save_npz(path, matrix, compressed=True)


def load_matrix(path: str | Path) -> sparse.csr_array:
    """Read X. Raises UserError for a file that is not one."""
    try:
        matrix = sparse.csr_array(sparse.load_npz(path))
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise UserError(f"{path}: not a readable co-occurrence matrix ({str(error).splitlines()[0]})") from None
    if matrix.shape[0] != matrix.shape[1] or not np.issubdtype(matrix.dtype, np.integer):
        raise UserError(f"{path}: found {matrix.dtype} {matrix.shape}, expected a square matrix of integers")
    return matrix


def merge(matrices: Iterable[sparse.csr_array], concepts: int) -> sparse.csr_array:
    """The sum of the shards' matrices; one new shard costs one addition."""
    total = sparse.csr_array((concepts, concepts), dtype=np.int64)
    for matrix in matrices:
        if matrix.shape != total.shape:
            raise UserError(f"co-occurrence: a shard counts {matrix.shape[0]} concepts, expected {concepts}")
        total = total + matrix
    total.sort_indices()
    return total
