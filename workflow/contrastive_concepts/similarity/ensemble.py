"""One vector per text: encode its prompts, normalise each, average, normalise again (CLIP's ImageNet ensemble)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contrastive_concepts.config.methods import Mean
from contrastive_concepts.config.similarity import FURTHER, OpenClipEncoder, SentenceTransformersEncoder, Templates
from contrastive_concepts.encoders import Embeddings, normalise
from contrastive_concepts.encoders.carried import MODEL, SAME, CarriedText, compress
from contrastive_concepts.encoders.text import TextEncoder
from contrastive_concepts.errors import UserError
from contrastive_concepts.similarity.store import describe_encoder, save_embeddings

TEXTS_AT_A_TIME = 64
FEWEST_COMPARED, MOST_COMPARED = 32, 256
"""Of the concepts, a sixteenth within these bounds is compared with the vectors of an exported encoder."""
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


def load_templates(name: Templates | Sequence[str]) -> list[Callable[[str], str]]:
    """open_clip's 80 ImageNet prompts, CLIP's single one, TCL's nine, the bare text, or the given prompts.

    A given prompt has `{}` in place of the text. Raises UserError if open_clip's prompts are not installed.
    """
    if not isinstance(name, str):
        return [prompt.format for prompt in name]
    if name == "none":
        return [str]
    if name == "tcl":
        return [prompt.format for prompt in TCL_PROMPTS]
    if name == "photo":
        return ["a photo of a {}.".format]
    return _imagenet_templates()


def _imagenet_templates() -> list[Callable[[str], str]]:
    """open_clip's list, from its file alone: to import all of open_clip takes four seconds."""
    from importlib import util

    package = util.find_spec("open_clip")
    if package is None or not package.submodule_search_locations:
        raise UserError(
            "open_clip is not installed, expected it for the ImageNet prompts: install contrastive-concepts[clip]"
        )
    file = Path(package.submodule_search_locations[0]) / "zero_shot_metadata.py"
    spec = util.spec_from_file_location("open_clip.zero_shot_metadata", file)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.OPENAI_IMAGENET_TEMPLATES)


def embed(
    texts: Sequence[str],
    encoder: TextEncoder,
    templates: Templates | Sequence[str],
    progress: Callable[[int], None] = lambda done: None,
    mean: Mean = "unit",
) -> Embeddings:
    """float32 [n, dimension], L2-normalised, one row per text. `progress` receives the number of finished texts.

    templates: see `load_templates`. mean: "unit" normalises the prompts' vectors before averaging (CLIP), "raw" does
    not (TCL).

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
    further: Sequence[str] = (),
) -> None:
    """Write the concepts' vectors and a description of their encoder.

    further: words whose nearest concept is written, with its cosine, to FURTHER in the same folder, if the settings
    ask for such words.
    If the settings say so, the encoder itself is exported to the folder of `encoder_path`. Raises UserError if the
    export cannot be done, or, in float32, does not give the same vectors.
    """
    vectors = embed(concepts, encoder, settings.templates, progress)
    if settings.further_words:
        _write_nearest(further, embed(further, encoder, settings.templates), concepts, vectors, Path(encoder_path))
    description = describe_encoder(encoder, settings.templates, settings.model_dump())
    if settings.carries:
        description["carried"] = _carry(concepts, vectors, encoder, settings, Path(encoder_path).parent)
    print(description)
    save_embeddings(vectors_path, encoder_path, vectors, description)


def _write_nearest(
    texts: Sequence[str], vectors: Embeddings, concepts: Sequence[str], concept_vectors: Embeddings, beside: Path
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    cosines = vectors @ concept_vectors.T
    nearest = cosines.argmax(axis=1)
    columns = {"text": texts, "concept": [concepts[row] for row in nearest], "similarity": cosines.max(axis=1)}
    types = pa.schema([("text", pa.string()), ("concept", pa.string()), ("similarity", pa.float32())])
    pq.write_table(pa.table(columns, types), beside.with_name(FURTHER))


def _carry(
    concepts: Sequence[str],
    vectors: Embeddings,
    encoder: TextEncoder,
    settings: OpenClipEncoder | SentenceTransformersEncoder,
    folder: Path,
) -> dict[str, Any]:
    """Export the encoder, and describe the export. The vectors of some concepts are compared with its own."""
    if isinstance(encoder, CarriedText):
        encoder.copy_to(folder)
        cleaning = encoder.cleaning
    else:
        from contrastive_concepts.encoders.carry import carry

        cleaning = carry(encoder, folder)
    compress(folder / MODEL, settings.carry_precision)
    prompts = [template("{}") for template in load_templates(settings.templates)]
    carried = CarriedText(folder, encoder.name, encoder.weights_sha256, cleaning)
    compared = min(max(len(concepts) // 16, FEWEST_COMPARED), MOST_COMPARED, len(concepts))
    rows = np.linspace(0, len(concepts) - 1, compared, dtype=int)
    again = embed([concepts[row] for row in rows], carried, prompts)
    least = float((again * vectors[rows]).sum(axis=1).min())
    if settings.carry_precision == "float32" and least < SAME:
        raise UserError(
            f"config: similarity.carry_encoder: the export of {encoder.name} gives other vectors (cosine {least:.4f}, "
            f"expected at least {SAME}): set it to false"
        )
    return {"precision": settings.carry_precision, "cleaning": cleaning, "prompts": prompts, "least_cosine": least}
