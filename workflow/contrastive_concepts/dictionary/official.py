"""The authors' release: matrix, embeddings and visibility verdicts, selected by their rule (paper 3.4)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from scipy import sparse

from contrastive_concepts.cooccurrence.candidates import find_candidates
from contrastive_concepts.dictionary.build import typical_nearest_similarity
from contrastive_concepts.dictionary.manifest import EncoderDescription, Manifest, file_sha256
from contrastive_concepts.dictionary.publish import publish
from contrastive_concepts.dictionary.selection import REASONS, describe_concepts, select
from contrastive_concepts.errors import UserError
from contrastive_concepts.provenance import code_sha256, versions
from contrastive_concepts.restricted_pickle import load_restricted
from contrastive_concepts.similarity.encoders import Embeddings
from contrastive_concepts.similarity.semantic import measure_candidates

STOPLIST = ("image", "photo", "picture", "view")
ENCODER = {
    "name": "open_clip:ViT-B-16:laion2b_s34b_b88k",
    "weights_sha256": None,  # the release does not say
    "templates": "imagenet",
    "settings": {"encoder": "open_clip", "model": "ViT-B-16", "pretrained": "laion2b_s34b_b88k"},
}


@dataclass(frozen=True)
class Release:
    """`matrix`: int64 counts [M, M], symmetric, the diagonal a concept's captions; `embeddings`: float32 unit vectors
    [M, D]; `visible`: the language model's verdict by concept, where there is one."""

    concepts: list[str]
    matrix: sparse.csr_array
    embeddings: Embeddings
    visible: dict[str, bool]


def read_release(path: Path, visibility: Path) -> Release:
    """Read `laion400m_lemmatized.pkl` and `laion_concepts_map_v5.json`. Raises UserError by file and key."""
    content = load_restricted(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: found a {type(content).__name__}, expected a dict with concept_names")
    names = content.get("concept_names")
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: concept_names: expected a list of names")
    if len(set(names)) != len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise UserError(f"{path}: concept_names: found {twice!r} twice, expected each name once")
    size = len(names)
    counts = _array(content, "cooc_mat", (size, size), path)
    if np.any(counts < 0) or np.any(counts != np.rint(counts)):
        raise UserError(f"{path}: cooc_mat: found negative or broken counts, expected whole numbers")
    if np.any(counts != counts.T):
        row, column = np.argwhere(counts != counts.T)[0]
        raise UserError(f"{path}: cooc_mat: differs from its transpose at [{row}, {column}], expected it symmetric")
    vectors = _array(content, "clip_embeds", (size, None), path).astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.allclose(lengths, 1, atol=1e-2):
        row = int(np.argmax(np.abs(lengths - 1)))
        raise UserError(f"{path}: clip_embeds: row {row} has length {lengths[row]:.3f}, expected unit vectors")
    return Release(
        list(names), sparse.csr_array(counts.astype(np.int64)), vectors, _read_visibility(visibility, list(names))
    )


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
    the release's order. Raises UserError as `read_release`."""
    release = read_release(path, visibility)
    concepts = pl.DataFrame(
        {
            "concept_id": pl.Series(range(len(release.concepts)), dtype=pl.Int32),
            "concept": release.concepts,
            "words": [name.lower().replace("_", " ").split() for name in release.concepts],
            "count": release.matrix.diagonal(),
        }
    )
    visible = [release.visible.get(name) for name in release.concepts]
    verdicts = pl.DataFrame(
        {
            "concept": release.concepts,
            "p_visible": pl.Series([None if answer is None else float(answer) for answer in visible], dtype=pl.Float64),
            "visible": [answer is True for answer in visible],
            "parsed": [answer is not None for answer in visible],
        }
    )
    table = describe_concepts(concepts, verdicts, unparsed)
    candidates = find_candidates(release.matrix, release.concepts, gamma, STOPLIST)
    measured = measure_candidates(candidates, release.embeddings, delta)
    kept, rejected = select(measured, table)
    reasons = dict(rejected.group_by("reason").len().iter_rows())
    manifest = Manifest(
        run=path.stem,
        corpus=path.stem,
        config={"release": path.name, "visibility": visibility.name, "unparsed": unparsed},
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
        code_sha256=code_sha256("dictionary"),
        files={},
    )
    publish(folder, table, kept, rejected, release.embeddings, manifest)
    return manifest


def _array(content: dict[str, Any], key: str, shape: tuple[int | None, ...], path: Path) -> "np.ndarray[Any, Any]":
    value = content.get(key)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iufb":
        raise UserError(f"{path}: {key}: found {type(value).__name__}, expected an array or tensor of numbers")
    fits = value.ndim == len(shape) and all(
        want in (None, found) for want, found in zip(shape, value.shape, strict=True)
    )
    if not fits or not np.all(np.isfinite(value)):
        raise UserError(f"{path}: {key}: found shape {value.shape}, expected {shape} of finite numbers")
    return value


def _read_visibility(path: Path, names: list[str]) -> dict[str, bool]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: found a {type(content).__name__}, expected concept -> true or false")
    verdicts = {name: content[name] for name in names if name in content}
    for name, verdict in verdicts.items():
        if not isinstance(verdict, bool):
            raise UserError(f"{path}: {name!r}: found {verdict!r}, expected true or false")
    if not verdicts:
        raise UserError(f"{path}: found none of the {len(names)} concepts, expected their verdicts")
    return verdicts
