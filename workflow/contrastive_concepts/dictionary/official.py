"""Imports the authors' release as a dictionary: matrix, embeddings and verdicts, with their selection (paper 3.4)."""

from pathlib import Path
from typing import Literal

import polars as pl

from contrastive_concepts.captions.release import read_release
from contrastive_concepts.config.selection import BETA
from contrastive_concepts.dictionary.build import typical_nearest_similarity
from contrastive_concepts.dictionary.manifest import EncoderDescription, Manifest, file_sha256
from contrastive_concepts.dictionary.publish import publish
from contrastive_concepts.errors import UserError
from contrastive_concepts.provenance import code_sha256, versions
from contrastive_concepts.selection.select import Tables, Thresholds, first_rows, select
from contrastive_concepts.text_files import read_json

STOPLIST = ("image", "photo", "picture", "view")
ENCODER = {
    "name": "open_clip:ViT-B-16:laion2b_s34b_b88k",
    "weights_sha256": None,  # Not in the release.
    "templates": "imagenet",
    "settings": {"encoder": "open_clip", "model": "ViT-B-16", "pretrained": "laion2b_s34b_b88k"},
}


def import_release(
    folder: Path,
    path: Path,
    visibility: Path,
    gamma: float = 0.01,
    delta: float = 0.8,
    unparsed: Literal["keep", "drop"] = "drop",
) -> Manifest:
    """Publish the release as a dictionary: j is kept for i if X[i, j] / X[i, i] > gamma, their cosine is below delta,
    j is visible and not on the stop-list. A concept without a verdict is visible if `unparsed` is "keep". Concepts stay
    in the release's order. Of a repeated name, the first row counts as the concept, as in the authors' search for the
    nearest concept, and any row as a contrastive concept. Cosines are the release's own (clip_sims) if present, else
    those of its embeddings. Raises UserError with file and key."""
    release = read_release(path)
    answers = _read_visibility(visibility, release.concepts)
    rows = first_rows(release.concepts)
    visible = [answers.get(release.concepts[row]) for row in rows]
    concepts = pl.DataFrame(
        {
            "concept_id": pl.Series(range(len(release.concepts)), dtype=pl.Int32),
            "concept": release.concepts,
            "words": [name.lower().replace("_", " ").split() for name in release.concepts],
            "count": release.matrix.diagonal(),
        }
    )
    verdicts = pl.DataFrame(
        {
            "concept": [release.concepts[row] for row in rows],
            "p_visible": pl.Series([None if answer is None else float(answer) for answer in visible], dtype=pl.Float64),
            "visible": [answer is True for answer in visible],
            "parsed": [answer is not None for answer in visible],
        }
    )
    tables = Tables(concepts, release.matrix, verdicts, release.embeddings, similarities=release.similarities)
    selection = select(tables, Thresholds(gamma, delta, STOPLIST, unparsed=unparsed))
    embeddings = release.embeddings[rows]
    manifest = Manifest(
        run=path.stem,
        corpus=path.stem,
        config={
            "release": path.name,
            "visibility": visibility.name,
            "unparsed": unparsed,
            "similarities": "clip_embeds" if release.similarities is None else "clip_sims",
        },
        thresholds={"gamma": gamma, "delta": delta, "beta": BETA},
        encoder=EncoderDescription.model_validate(ENCODER | {"dimension": embeddings.shape[1]}),
        judge={"judge": ["release"], "model": [], "revision": [], "prompt_hash": [file_sha256(visibility)]},
        shards=[],
        captions={},
        counts={
            "concepts": selection.concepts.height,
            "visible concepts": int(selection.concepts["visible"].sum()),
            "concepts without a verdict": visible.count(None),
            **selection.counts,
        },
        typical_nearest_similarity=typical_nearest_similarity(embeddings),
        versions=versions(),
        code_sha256=code_sha256(Path(__file__)),
        files={},
    )
    publish(folder, selection.concepts, selection.kept, selection.rejected, embeddings, manifest)
    return manifest


def _read_visibility(path: Path, names: list[str]) -> dict[str, bool]:
    content = read_json(path, "the verdicts in JSON")
    if not isinstance(content, dict):
        raise UserError(f"{path}: found a {type(content).__name__}, expected concept -> true or false")
    verdicts = {name: content[name] for name in names if name in content}
    for name, verdict in verdicts.items():
        if not isinstance(verdict, bool):
            raise UserError(f"{path}: {name!r}: found {verdict!r}, expected true or false")
    if not verdicts:
        raise UserError(f"{path}: found none of the {len(names)} concepts, expected their verdicts")
    return verdicts
