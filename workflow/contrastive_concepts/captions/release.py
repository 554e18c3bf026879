"""The authors' release: a pickle of concepts, their X and their embeddings, without captions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from contrastive_concepts.errors import UserError
from contrastive_concepts.restricted_pickle import load_restricted


@dataclass(frozen=True)
class Release:
    """`concepts`: M names, possibly with repetitions. `matrix`: int64 counts [M, M], symmetric; the diagonal has each
    concept's number of captions. `embeddings`: float32 unit vectors [M, D]. `similarities`: cosines [M, M] in the
    release's own precision, None if it has none."""

    concepts: list[str]
    matrix: sparse.csr_array
    embeddings: npt.NDArray[np.float32]
    similarities: npt.NDArray[np.floating[Any]] | None = None


def read_release(path: Path) -> Release:
    """Read `laion400m_lemmatized.pkl` without running code in it. Raises UserError with file and key."""
    content = load_restricted(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: found a {type(content).__name__}, expected a dict with concept_names")
    names = content.get("concept_names")
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: concept_names: expected a list of names")
    size = len(names)
    counts = _array(content, "cooc_mat", (size, size), path)
    if np.any(counts < 0) or np.any(counts != np.rint(counts)):
        raise UserError(f"{path}: cooc_mat: found negative or broken counts, expected whole numbers")
    if np.any(counts != counts.T):
        row, column = np.argwhere(counts != counts.T)[0]
        raise UserError(f"{path}: cooc_mat: differs from its transpose at [{row}, {column}], expected it symmetric")
    vectors = _array(content, "clip_embeds", (size, None), path).astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.allclose(lengths, 1, atol=1e-2):
        row = int(np.argmax(np.abs(lengths - 1)))
        raise UserError(f"{path}: clip_embeds: row {row} has length {lengths[row]:.3f}, expected unit vectors")
    cosines = _array(content, "clip_sims", (size, size), path) if content.get("clip_sims") is not None else None
    if cosines is not None and cosines.dtype.kind != "f":
        raise UserError(f"{path}: clip_sims: found {cosines.dtype}, expected cosines")
    return Release(list(names), sparse.csr_array(counts.astype(np.int64)), vectors, cosines)


def _array(content: dict[str, Any], key: str, shape: tuple[int | None, ...], path: Path) -> "np.ndarray[Any, Any]":
    value = content.get(key)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iufb":
        raise UserError(f"{path}: {key}: found {type(value).__name__}, expected an array or tensor of numbers")
    fits = value.ndim == len(shape) and all(
        want in (None, found) for want, found in zip(shape, value.shape, strict=True)
    )
    if not fits or not np.all(np.isfinite(value)):
        raise UserError(f"{path}: {key}: found shape {value.shape}, expected {shape} of finite numbers")
    return value
