"""One vector a text: its prompts encoded, each normalised, averaged, normalised again (CLIP's ImageNet ensemble)."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from contrastive_concepts.config.similarity import Templates
from contrastive_concepts.similarity.encoders import TextEncoder
from contrastive_concepts.similarity.store import Embeddings

TEXTS_AT_A_TIME = 64
TCL_PROMPTS = (
    "itap of a {}.",
    "a bad photo of a {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
    "a photo of many {}.",
    "a photo of {}s.",
)
Mean = Literal["unit", "raw"]


def load_templates(name: Templates) -> list[Callable[[str], str]]:
    """open_clip's 80 ImageNet prompts, CLIP's single one, TCL's nine, or the bare text."""
    if name == "none":
        return [str]
    if name == "tcl":
        return [prompt.format for prompt in TCL_PROMPTS]
    if name == "photo":
        return ["a photo of a {}.".format]
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    return list(OPENAI_IMAGENET_TEMPLATES)


def embed(
    texts: Sequence[str],
    encoder: TextEncoder,
    templates: Templates,
    progress: Callable[[int], None] = lambda done: None,
    mean: Mean = "unit",
) -> Embeddings:
    """float32 [n, dimension], L2-normalised, a row a text; `progress` is told the number of texts done so far.

    mean: of the prompts' unit vectors, as CLIP does it, or of the vectors as they are (TCL).

    Texts are taken together so that the encoder sees large batches; each distinct prompt of a batch is encoded once.
    """
    prompts_of = load_templates(templates)
    vectors = np.empty((len(texts), encoder.dimension), np.float32)
    for start in range(0, len(texts), TEXTS_AT_A_TIME):
        batch = texts[start : start + TEXTS_AT_A_TIME]
        prompts = [[template(text) for template in prompts_of] for text in batch]
        distinct = {prompt: row for row, prompt in enumerate(dict.fromkeys(p for group in prompts for p in group))}
        encoded = encoder.encode(list(distinct))
        encoded = normalise(encoded) if mean == "unit" else encoded
        for row, group in enumerate(prompts, start):
            vectors[row] = encoded[[distinct[prompt] for prompt in group]].mean(axis=0)
        progress(min(start + TEXTS_AT_A_TIME, len(texts)))
    return normalise(vectors)


def normalise(vectors: Embeddings) -> Embeddings:
    """Rows of unit length; a row of zeros stays as it is."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), np.float32)
