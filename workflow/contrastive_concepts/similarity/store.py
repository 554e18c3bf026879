"""Embeddings on disk: the vectors and a description of their encoder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contrastive_concepts.config.similarity import Templates
from contrastive_concepts.encoders import Embeddings

if TYPE_CHECKING:
    from contrastive_concepts.encoders.text import TextEncoder


def describe_encoder(encoder: "TextEncoder", templates: Templates, settings: dict[str, Any]) -> dict[str, Any]:
    """The data needed to embed further texts in the same space and to detect a different encoder."""
    return {
        "name": encoder.name,
        "dimension": encoder.dimension,
        "weights_sha256": encoder.weights_sha256,
        "templates": templates,
        "settings": settings,
    }


def save_embeddings(
    vectors_path: str | Path, encoder_path: str | Path, vectors: Embeddings, encoder: dict[str, Any]
) -> None:
    np.save(vectors_path, vectors, allow_pickle=False)
    Path(encoder_path).write_text(json.dumps(encoder, indent=2, sort_keys=True) + "\n")


def load_embeddings(vectors_path: str | Path) -> Embeddings:
    return np.asarray(np.load(vectors_path, allow_pickle=False), np.float32)
