"""Text embeddings as each method makes them (spec 1.2): which prompts, and how their vectors are averaged."""

from collections.abc import Sequence
from typing import Literal

from contrastive_concepts.config.similarity import Templates
from contrastive_concepts.errors import UserError
from contrastive_concepts.similarity.encoders import TextEncoder
from contrastive_concepts.similarity.ensemble import Mean, embed
from contrastive_concepts.similarity.store import Embeddings

Prompts = Literal["paper", "original"]

OWN_PROMPTS: dict[str, Templates] = {"maskclip": "imagenet", "clip_dinoiser": "imagenet", "gem": "photo", "tcl": "tcl"}
MEANS: dict[str, Mean] = {"maskclip": "unit", "clip_dinoiser": "unit", "gem": "unit", "tcl": "raw"}


def text_embeddings(texts: Sequence[str], encoder: TextEncoder, method: str, prompts: Prompts = "paper") -> Embeddings:
    """float32 [n, D] unit vectors, a row a text in order; a text that comes twice is embedded once.

    prompts: the paper takes the 80 ImageNet prompts for all methods (6.1); original: those of the method's authors.
    The mean is the method's own either way. Raises UserError for an unknown method."""
    if method not in OWN_PROMPTS:
        raise UserError(f"text embeddings: found method {method!r}, expected one of {', '.join(OWN_PROMPTS)}")
    templates: Templates = OWN_PROMPTS[method] if prompts == "original" else "imagenet"
    row = {text: index for index, text in enumerate(dict.fromkeys(texts))}
    vectors = embed(list(row), encoder, templates, mean=MEANS[method])
    return vectors[[row[text] for text in texts]]
