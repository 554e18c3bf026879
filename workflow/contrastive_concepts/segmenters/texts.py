"""Text embeddings of each method: its prompts, and whether their vectors are normalised before they are averaged."""

from collections.abc import Sequence
from typing import Literal

from contrastive_concepts.config.methods import METHODS
from contrastive_concepts.config.similarity import Templates
from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.encoders.text import TextEncoder
from contrastive_concepts.errors import UserError
from contrastive_concepts.similarity.ensemble import embed

Prompts = Literal["paper", "original"]


def text_embeddings(texts: Sequence[str], encoder: TextEncoder, method: str, prompts: Prompts = "paper") -> Embeddings:
    """Unit vectors float32 [n, D], one row per text, in order. A repeated text is embedded once.

    prompts: "paper" uses the 80 ImageNet prompts for all methods (paper 6.1), "original" those of the method's authors.
    Both average the vectors in the method's own way. Raises UserError for an unknown method."""
    if method not in METHODS:
        raise UserError(f"text embeddings: found method {method!r}, expected one of {', '.join(METHODS)}")
    templates: Templates = METHODS[method].prompts if prompts == "original" else "imagenet"
    row = {text: index for index, text in enumerate(dict.fromkeys(texts))}
    vectors = embed(list(row), encoder, templates, mean=METHODS[method].mean)
    return vectors[[row[text] for text in texts]]
