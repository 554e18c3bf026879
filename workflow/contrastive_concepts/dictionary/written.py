"""Publishes CC^L, contrastive concepts that a language model wrote for a class list, as a dictionary (paper 3.5)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from contrastive_concepts.config.run import RunSettings
from contrastive_concepts.dictionary.build import typical_nearest_similarity
from contrastive_concepts.dictionary.manifest import EncoderDescription, Manifest
from contrastive_concepts.dictionary.publish import publish
from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.provenance import code_sha256, versions

CORPUS = "written by a language model"
PAIRS = {
    "concept": pl.String,
    "contrastive_concept": pl.String,
    "cooccurrences": pl.Int64,
    "frequency": pl.Float64,
    "similarity": pl.Float32,
}


def build_written_dictionary(
    folder: Path,
    settings: RunSettings,
    lists: Mapping[str, Sequence[str]],
    writer: dict[str, Any],
    embeddings: Embeddings,
    encoder: dict[str, Any],
    encoder_folder: Path | None = None,
) -> Manifest:
    """Publish the lists, in their original order, in the file format of CC^D. Values that were not measured are null.

    lists: class -> names, not filtered. writer: judge, model, revision and prompt_hash of the writer.
    embeddings: one row per class. encoder_folder: where the files of the carried encoder are, if `encoder` describes
    one. Returns the manifest without its file hashes.
    """
    concepts = pl.DataFrame(
        {"concept_id": range(len(lists)), "concept": list(lists), "parsed": [bool(names) for names in lists.values()]},
        schema={"concept_id": pl.Int32, "concept": pl.String, "parsed": pl.Boolean},
    ).select(
        "concept_id",
        "concept",
        pl.lit(None, pl.List(pl.String)).alias("words"),
        pl.lit(None, pl.Int64).alias("count"),
        pl.lit(None, pl.Float64).alias("p_visible"),
        pl.lit(None, pl.Boolean).alias("visible"),
        "parsed",
    )
    rows = [
        (concept, name, None, None, None, rank)
        for concept, names in lists.items()
        for rank, name in enumerate(names, start=1)
    ]
    kept = pl.DataFrame(rows, schema=PAIRS | {"rank": pl.Int32}, orient="row")
    manifest = Manifest(
        run=settings.run,
        corpus=CORPUS,
        config=settings.model_dump(),
        thresholds={"beta": settings.selection.beta},
        encoder=EncoderDescription.model_validate(encoder),
        judge=writer,
        shards=[],
        captions={},
        counts={
            "concepts": concepts.height,
            "contrastive concepts": kept.height,
            "concepts without any": concepts.height - kept["concept"].n_unique(),
        },
        typical_nearest_similarity=typical_nearest_similarity(embeddings),
        versions=versions(),
        code_sha256=code_sha256(Path(__file__)),
        files={},
    )
    rejected = pl.DataFrame(schema=PAIRS | {"reason": pl.String})
    publish(folder, concepts, kept, rejected, embeddings, manifest, encoder_folder)
    return manifest
