"""One vector per text: encode its prompts, normalise each, average, normalise again (CLIP's ImageNet ensemble)."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from contrastive_concepts.config.methods import Mean
from contrastive_concepts.config.similarity import OpenClipEncoder, SentenceTransformersEncoder, Templates
from contrastive_concepts.encoders import Embeddings, normalise
from contrastive_concepts.encoders.text import TextEncoder
from contrastive_concepts.similarity.store import describe_encoder, save_embeddings

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


def embed_concepts(
    concepts: Sequence[str],
    encoder: TextEncoder,
    settings: OpenClipEncoder | SentenceTransformersEncoder,
    vectors_path: str | Path,
    encoder_path: str | Path,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Write the concepts' vectors and a description of their encoder."""
    vectors = embed(concepts, encoder, settings.templates, progress)
    description = describe_encoder(encoder, settings.templates, settings.model_dump())
    print(description)
    save_embeddings(vectors_path, encoder_path, vectors, description)
