"""Random tables of the stages before the selection, with an association built in."""

from typing import Any

import numpy as np
import polars as pl
from pydantic import TypeAdapter
from scipy import sparse

from contrastive_concepts.config.contrastive_sets import DictionarySet
from contrastive_concepts.config.selection import AssociationSettings, SelectionSettings
from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.selection.select import Tables, Thresholds, select

CAPTIONS, CONCEPTS = 600, 24


NAMES = [f"c{number}" for number in range(CONCEPTS)]


def association(**values: Any) -> AssociationSettings:
    return TypeAdapter(AssociationSettings).validate_python(values)  # type: ignore[no-any-return]


def mentions(seed: int) -> "np.ndarray[Any, Any]":
    """bool [concepts, captions]; concept 0 is in nearly every caption, concepts 1 and 2 follow each other."""
    random = np.random.default_rng(seed)
    found = random.random((CONCEPTS, CAPTIONS)) < random.uniform(0.01, 0.3, (CONCEPTS, 1))
    found[0] = random.random(CAPTIONS) < 0.95
    found[2] = found[1] & (random.random(CAPTIONS) < 0.8)
    found[CONCEPTS - 1] = False
    return found


def count(found: "np.ndarray[Any, Any]") -> sparse.csr_array:
    counts = sparse.csr_array(found.astype(np.int64))
    return sparse.csr_array(counts @ counts.T)


def unit_vectors(seed: int, number: int = CONCEPTS, dimension: int = 4) -> Embeddings:
    vectors = np.random.default_rng(seed).normal(size=(number, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def tables(seed: int) -> Tables:
    matrix = count(mentions(seed))
    visible = [number % 5 != 3 for number in range(CONCEPTS)]
    concepts = pl.DataFrame(
        {"concept_id": range(CONCEPTS), "concept": NAMES, "count": matrix.diagonal()},
        schema_overrides={"concept_id": pl.Int32},
    )
    verdicts = pl.DataFrame({"concept": NAMES, "p_visible": 0.5, "visible": visible, "parsed": True})
    return Tables(concepts, matrix, verdicts, unit_vectors(seed), captions=CAPTIONS)


def lists(source: Tables, selection: SelectionSettings, **change: Any) -> dict[str, list[str]]:
    thresholds = Thresholds.of(selection, "corpus", "drop")
    return select(source, thresholds.changed_by(DictionarySet(kind="dictionary", **change))).lists
