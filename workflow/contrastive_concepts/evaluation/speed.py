"""What speed and memory are measured on: images that show eight classes, asked for under four contrastive sets."""

import resource
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.evaluation.confusion import IGNORED, Labels
from contrastive_concepts.evaluation.contrastive_sets import (
    ContrastiveSet,
    background_only,
    from_mapping,
    image_oracle,
)
from contrastive_concepts.evaluation.datasets import CLASSES, Sample, open_dataset
from contrastive_concepts.evaluation.single import evaluate_single
from contrastive_concepts.evaluation.timing import Timing, compare
from contrastive_concepts.resources import RESOURCES
from contrastive_concepts.segmenters.segmenter import Segmenter
from contrastive_concepts.similarity.store import Embeddings
from contrastive_concepts.text_files import read_lines

SIZE = (512, 683)
"""Height and width of most ADE20K photos."""


def compare_ways(segmenter: Segmenter, samples: Sequence[Sample], protocol: Protocol | None = None) -> Timing:
    """IoU-single both ways on the same images. Raises UserError where their numbers differ."""
    names = class_names()
    embed = _embedder(segmenter)
    return compare(segmenter, samples, names, range(len(names)), four_sets(names), embed, protocol or Protocol())


def peak_memory_mb(segmenter: Segmenter, samples: Iterable[Sample], protocol: Protocol | None = None) -> float:
    """Score the images against "background" alone and return this process's peak memory so far."""
    names = class_names()
    embed = _embedder(segmenter)
    evaluate_single(segmenter, samples, names, range(len(names)), [background_only()], embed, protocol or Protocol())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def class_names() -> list[str]:
    return read_lines(RESOURCES / "classes" / "ade20k.txt", CLASSES)


def ade_photos(folder: Path, images: int, classes: int = 8) -> Iterator[Sample]:
    """The first photos of an ADE20K folder, one in memory at a time; only the largest classes of each are left."""
    dataset = open_dataset("ade20k", folder)
    for sample in replace(dataset, names=dataset.names[:images]):
        yield replace(sample, labels=_largest(sample.labels, classes))


def generated(images: int, classes: int = 8, seed: int = 0) -> Iterator[Sample]:
    """Noise of ADE20K's size, labelled in upright stripes, one in memory at a time."""
    height, width = SIZE
    for number in range(images):
        random = np.random.default_rng((seed, number))
        shown = random.choice(len(class_names()), classes, replace=False).astype(np.uint8)
        labels = np.tile(shown[np.arange(width) * classes // width], (height, 1))
        yield Sample(f"generated_{number:06d}", random.integers(0, 256, (height, width, 3), np.uint8), labels)


def four_sets(classes: Sequence[str], listed: int = 20) -> list[ContrastiveSet]:
    """ "background"; lists of about the length of CC^L and of CC^D; the other classes of the image."""
    rows = {name: [*classes[k + 1 :], *classes[:k]] for k, name in enumerate(classes)}
    return [
        background_only(),
        from_mapping("half the list", {name: others[: listed // 2] for name, others in rows.items()}, background=True),
        from_mapping("the list", {name: others[:listed] for name, others in rows.items()}, background=True),
        image_oracle(classes),
    ]


def _embedder(segmenter: Segmenter) -> Callable[[Sequence[str]], Embeddings]:
    """Text -> a random unit vector that is always the same; only the image side is measured."""

    def embed(texts: Sequence[str]) -> Embeddings:
        draws = [np.random.default_rng(zlib.crc32(text.encode())) for text in texts]
        vectors = np.stack([draw.standard_normal(segmenter.tower.embed) for draw in draws])
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    return embed


def _largest(labels: Labels, count: int) -> Labels:
    sizes = np.bincount(labels.ravel(), minlength=256)
    sizes[IGNORED] = 0
    kept = np.argsort(-sizes, kind="stable")[:count]
    return np.where(np.isin(labels, kept), labels, IGNORED).astype(np.uint8)
