"""The co-occurrence matrix X: merged from shards, checked, stored (paper 3.4).

X is int64, symmetric, |T| x |T|. X[i, j] is the number of captions that mention both i and j, X[i, i] those with i.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
import polars as pl
from scipy import sparse

from contrastive_concepts.checks import require
from contrastive_concepts.errors import UserError, one_line

SETTINGS = "settings.json"


def save_matrix(
    path: str | Path, matrix: sparse.csr_array, settings: dict[str, Any] | None = None, compressed: bool = True
) -> None:
    """Write X in scipy's format and, if given, the settings that the counts depend on, in the same archive."""
    sparse.save_npz(path, matrix, compressed=compressed)
    if settings is not None:
        with ZipFile(path, "a") as archive:
            archive.writestr(ZipInfo(SETTINGS), json.dumps(settings, sort_keys=True))


def load_matrix(path: str | Path) -> sparse.csr_array:
    """Read X. Raises UserError if the file is not a square matrix of integers."""
    try:
        matrix = sparse.csr_array(sparse.load_npz(path))
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise UserError(f"{path}: not a readable co-occurrence matrix ({one_line(error)})") from None
    if matrix.shape[0] != matrix.shape[1] or not np.issubdtype(matrix.dtype, np.integer):
        raise UserError(f"{path}: found {matrix.dtype} {matrix.shape}, expected a square matrix of integers")
    return matrix


def load_settings(path: str | Path) -> dict[str, Any]:
    """Read the settings that the counts depend on; empty if the file has none. Raises UserError for other files."""
    try:
        with ZipFile(path) as archive:
            return dict(json.loads(archive.read(SETTINGS))) if SETTINGS in archive.namelist() else {}
    except (OSError, ValueError, BadZipFile) as error:
        raise UserError(f"{path}: not a readable co-occurrence matrix ({one_line(error)})") from None


def merge_shards(paths: Sequence[str | Path], concepts: int) -> sparse.csr_array:
    """The sum of the shards' files. Raises UserError if one was counted with other settings than the first."""
    expected = load_settings(paths[0]) if paths else {}
    for path in paths:
        found = load_settings(path)
        for name in sorted(expected.keys() | found.keys()):
            if found.get(name) != expected.get(name):
                raise UserError(
                    f"{path}: counted with {name} {found.get(name)!r}, expected {expected.get(name)!r} as {paths[0]}"
                )
    return merge((load_matrix(path) for path in paths), concepts)


def require_matched(captions: int, matched: int, least: float = 0.0) -> None:
    """Raises UserError if no caption or a smaller share than `least` of the captions mentions a concept."""
    hint = (
        "the vocabulary may be in another language than the captions, or in a script that puts no blanks between words "
        "(docs/limits.md)"
    )
    require(matched, captions, least, "captions that mention a concept", "matched_captions", hint)


def count_captions(statistics: pl.DataFrame) -> int:
    """N: the number of captions of all shards that were searched for concepts (`cooccurrence/statistics.parquet`)."""
    looked_into = pl.col("rows") - pl.col("null") - pl.col("empty") - pl.col("gigantic")
    return int(statistics.select(looked_into.sum()).item())


def merge(matrices: Iterable[sparse.csr_array], concepts: int) -> sparse.csr_array:
    """The sum of the shards' matrices. A new shard costs one addition."""
    total = sparse.csr_array((concepts, concepts), dtype=np.int64)
    for matrix in matrices:
        if matrix.shape != total.shape:
            raise UserError(f"co-occurrence: a shard counts {matrix.shape[0]} concepts, expected {concepts}")
        total = total + matrix
    total.sort_indices()
    return total
