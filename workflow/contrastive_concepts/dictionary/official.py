"""The authors' release as a dictionary: matrix, embeddings and verdicts, selected by their rule (paper 3.4)."""

from pathlib import Path
from typing import Literal

import polars as pl

from contrastive_concepts.captions.release import Release, read_release
from contrastive_concepts.cooccurrence.candidates import find_candidates
from contrastive_concepts.dictionary.build import typical_nearest_similarity
from contrastive_concepts.dictionary.manifest import EncoderDescription, Manifest, file_sha256
from contrastive_concepts.dictionary.publish import publish
from contrastive_concepts.dictionary.selection import REASONS, describe_concepts, select
from contrastive_concepts.errors import UserError
from contrastive_concepts.provenance import code_sha256, versions
from contrastive_concepts.similarity.semantic import measure_candidates
from contrastive_concepts.text_files import read_json

STOPLIST = ("image", "photo", "picture", "view")
ENCODER = {
    "name": "open_clip:ViT-B-16:laion2b_s34b_b88k",
    "weights_sha256": None,  # the release does not say
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
    """Publish the release as a dictionary: j is kept for i when X[i, j] / X[i, i] > gamma, their cosine is below delta,
    j is visible and not on the stop-list. A concept without a verdict is visible if `unparsed` is keep. Concepts keep
    the release's order; of a repeated name the first row counts as the concept, as their nearest neighbour has it, and
    any row as a contrastive concept. Cosines are the release's own (clip_sims), or else those of its embeddings.
    Raises UserError by file and key."""
    release = read_release(path)
    answers = _read_visibility(visibility, release.concepts)
    measured = measure_candidates(
        find_candidates(release.matrix, release.concepts, gamma, STOPLIST),
        release.embeddings,
        delta,
        release.similarities,
    )
    measured, rows = _named_once(measured, release.concepts)
    similarities = "clip_embeds" if release.similarities is None else "clip_sims"
    release = Release([release.concepts[row] for row in rows], release.matrix[rows][:, rows], release.embeddings[rows])
    concepts = pl.DataFrame(
        {
            "concept_id": pl.Series(range(len(release.concepts)), dtype=pl.Int32),
            "concept": release.concepts,
            "words": [name.lower().replace("_", " ").split() for name in release.concepts],
            "count": release.matrix.diagonal(),
        }
    )
    visible = [answers.get(name) for name in release.concepts]
    verdicts = pl.DataFrame(
        {
            "concept": release.concepts,
            "p_visible": pl.Series([None if answer is None else float(answer) for answer in visible], dtype=pl.Float64),
            "visible": [answer is True for answer in visible],
            "parsed": [answer is not None for answer in visible],
        }
    )
    table = describe_concepts(concepts, verdicts, unparsed)
    kept, rejected = select(measured, table)
    reasons = dict(rejected.group_by("reason").len().iter_rows())
    manifest = Manifest(
        run=path.stem,
        corpus=path.stem,
        config={
            "release": path.name,
            "visibility": visibility.name,
            "unparsed": unparsed,
            "similarities": similarities,
        },
        thresholds={"gamma": gamma, "delta": delta, "beta": 0.9},
        encoder=EncoderDescription.model_validate(ENCODER | {"dimension": release.embeddings.shape[1]}),
        judge={"judge": ["release"], "model": [], "revision": [], "prompt_hash": [file_sha256(visibility)]},
        shards=[],
        captions={},
        counts={
            "concepts": table.height,
            "visible concepts": int(table["visible"].sum()),
            "concepts without a verdict": visible.count(None),
            "candidates": measured.height,
            **{f"rejected: {reason}": reasons.get(reason, 0) for reason in REASONS},
            "contrastive concepts": kept.height,
            "concepts without any": table.height - kept["concept"].n_unique(),
        },
        typical_nearest_similarity=typical_nearest_similarity(release.embeddings),
        versions=versions(),
        code_sha256=code_sha256(Path(__file__)),
        files={},
    )
    publish(folder, table, kept, rejected, release.embeddings, manifest)
    return manifest


def _named_once(measured: pl.DataFrame, names: list[str]) -> tuple[pl.DataFrame, list[int]]:
    """The pairs with each name's first row for all of them, numbered anew, and those first rows.

    Of several pairs of the same two names one that is not too similar counts, the most frequent first.
    """
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        first.setdefault(name, row)
    rows = list(first.values())
    if len(rows) == len(names):
        return measured, rows
    place = {name: number for number, name in enumerate(first)}
    numbers = {row: place[name] for row, name in enumerate(names)}
    pairs = (
        measured.filter(pl.col("concept_id").is_in(rows))
        .with_columns(pl.col("concept_id", "candidate_id").replace_strict(numbers, return_dtype=pl.Int32))
        .filter(pl.col("concept_id") != pl.col("candidate_id"))
        .sort("similar", maintain_order=True)
        .unique(["concept_id", "candidate_id"], keep="first", maintain_order=True)
        .sort("concept_id", "cooccurrences", "candidate_id", descending=[False, True, False])
    )
    return pairs, rows


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
