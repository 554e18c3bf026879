"""Text encoders for the judge, the similarity stage, dictionaries and segmenters: CLIP and sentence encoders."""

import numpy as np

Embeddings = np.ndarray[tuple[int, int], np.dtype[np.float32]]
"""Vectors of texts, one row per text."""


def normalise(vectors: Embeddings) -> Embeddings:
    """Scale rows to unit length. A row of zeros stays unchanged."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), np.float32)
