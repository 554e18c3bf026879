"""Measures how long a dictionary takes to answer an exact name, a text that is no concept, and embedded queries."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from contrastive_concepts.dictionary.contrastive import ContrastiveConcepts
from contrastive_concepts.dictionary.manifest import EncoderDescription, Manifest
from contrastive_concepts.dictionary.publish import publish
from contrastive_concepts.encoders import normalise

LISTED = 20
TEXTS = 50


@dataclass(frozen=True)
class Lookup:
    """Microseconds for one exact name (median and 99th percentile), seconds for a batch of vectors.

    text_ms: milliseconds for one text that is no concept, median, with the encoder that `toyworld` carries."""

    concepts: int
    name_median_us: float
    name_p99_us: float
    queries: int
    batch_seconds: float
    load_seconds: float
    text_ms: float


def measure_lookup(folder: Path, concepts: int, queries: int, dimension: int = 512) -> Lookup:
    """Write a synthetic dictionary below `folder`, with `LISTED` contrastive concepts per concept, and query it."""
    generator = np.random.default_rng(0)
    names = [f"concept {number}" for number in range(concepts)]
    listed = generator.integers(0, concepts, (concepts, LISTED))
    kept = pl.DataFrame(
        {
            "concept": np.repeat(names, LISTED),
            "contrastive_concept": [names[k] for k in listed.ravel()],
        }
    )
    vectors = normalise(generator.standard_normal((concepts, dimension), np.float32))
    described = EncoderDescription(name="none", dimension=dimension, weights_sha256=None, templates="none", settings={})
    manifest = Manifest(
        run="bench",
        corpus="none",
        config={},
        thresholds={},
        encoder=described,
        judge={},
        shards=[],
        captions={},
        counts={},
        typical_nearest_similarity=0.0,
        versions={},
        code_sha256="",
        files={},
    )
    publish(folder / "dictionary", pl.DataFrame({"concept": names}), kept, kept.head(0), vectors, manifest)
    start = time.perf_counter()
    dictionary = ContrastiveConcepts.load(folder / "dictionary")
    loaded = time.perf_counter() - start
    taken = []
    for number in generator.integers(0, concepts, 10_000):
        name = names[number]
        before = time.perf_counter_ns()
        dictionary[name]
        taken.append((time.perf_counter_ns() - before) / 1000)
    asked = normalise(generator.standard_normal((queries, dimension), np.float32))
    dictionary.index.search(asked[:8], 1)
    start = time.perf_counter()
    dictionary.index.search(asked, 1)
    batch = time.perf_counter() - start
    carried = ContrastiveConcepts.load("toyworld")
    carried.lookup(["the first text starts the encoder"])
    texts = []
    for number in range(TEXTS):
        before = time.perf_counter_ns()
        carried.lookup([f"boat number {number}"])
        texts.append((time.perf_counter_ns() - before) / 1e6)
    return Lookup(
        concepts,
        float(np.median(taken)),
        float(np.percentile(taken, 99)),
        queries,
        batch,
        loaded,
        float(np.median(texts)),
    )
