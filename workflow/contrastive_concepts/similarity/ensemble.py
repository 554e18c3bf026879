"""One vector per text: encode its prompts, normalise each, average, normalise again (CLIP's ImageNet ensemble)."""

from collections.abc import Callable, Sequence

import numpy as np

from contrastive_concepts.config.evaluation import Mean
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
    """float32 [n, dimension], L2-normalised, one row per text. `progress` receives the number of finished texts.

    mean: "unit" normalises the prompts' vectors before averaging (CLIP), "raw" does not (TCL).

    Several texts share a batch, so that the encoder works on large batches. Each distinct prompt of a batch is encoded
    once.
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
    """Scale rows to unit length. A row of zeros stays unchanged."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), np.float32)
