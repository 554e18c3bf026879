"""Measures the time saved by encoding each image only once: IoU-single both ways on images with eight classes each."""

import resource
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet, background_only, from_mapping, image_oracle
from contrastive_concepts.evaluation.datasets import CLASSES, Sample, open_dataset
from contrastive_concepts.evaluation.metrics import IGNORED, Labels
from contrastive_concepts.evaluation.protocol import encode, label_map, similarities
from contrastive_concepts.evaluation.scoring import evaluate_single
from contrastive_concepts.evaluation.single import (
    SingleScores,
    added_channels,
    labels_in,
    present_names,
    query_texts,
    shown_classes,
    single_texts,
)
from contrastive_concepts.evaluation.texts import Embed, embed_once
from contrastive_concepts.resources import RESOURCES
from contrastive_concepts.segmenters.segmenter import Segmenter
from contrastive_concepts.text_files import read_lines

SIZE = (512, 683)
"""Height and width of most ADE20K photos."""


@dataclass(frozen=True)
class Timing:
    """Seconds of both ways. queries: number of (image, class, set) triples.

    CPU seconds measure the work even if other jobs share the machine."""

    cached: float
    straightforward: float
    cached_cpu: float
    straightforward_cpu: float
    images: int
    queries: int

    @property
    def ratio(self) -> float:
        return self.straightforward / self.cached

    @property
    def cpu_ratio(self) -> float:
        return self.straightforward_cpu / self.cached_cpu

    def __str__(self) -> str:
        wall = f"cached {self.cached:.2f} s, straightforward {self.straightforward:.2f} s, ratio {self.ratio:.1f}"
        cpu = f"{self.cached_cpu:.2f} s and {self.straightforward_cpu:.2f} s, ratio {self.cpu_ratio:.1f}"
        return f"{self.images} images, {self.queries} queries: {wall}; of the processor {cpu}"


def compare_ways(segmenter: Segmenter, samples: Sequence[Sample], protocol: Protocol | None = None) -> Timing:
    """IoU-single both ways on the same images. Raises UserError if their results differ."""
    names = class_names()
    embed = random_vectors(segmenter)
    return compare(segmenter, samples, names, range(len(names)), four_sets(names), embed, protocol or Protocol())


def peak_memory_mb(segmenter: Segmenter, samples: Iterable[Sample], protocol: Protocol | None = None) -> float:
    """Score the images against "background" alone and return this process's peak memory so far."""
    names = class_names()
    embed = random_vectors(segmenter)
    evaluate_single(segmenter, samples, names, range(len(names)), [background_only()], embed, protocol or Protocol())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def class_names() -> list[str]:
    return read_lines(RESOURCES / "classes" / "ade20k.txt", CLASSES)


def ade_photos(folder: Path, images: int, classes: int = 8) -> Iterator[Sample]:
    """The first photos of an ADE20K folder, one in memory at a time, with only the largest classes of each."""
    dataset = open_dataset("ade20k", folder)
    for sample in replace(dataset, names=dataset.names[:images]):
        yield replace(sample, labels=_largest(sample.labels, classes))


def generated(images: int, classes: int = 8, seed: int = 0) -> Iterator[Sample]:
    """Noise images of ADE20K's size with vertical stripes as labels, one in memory at a time."""
    height, width = SIZE
    for number in range(images):
        random = np.random.default_rng((seed, number))
        shown = random.choice(len(class_names()), classes, replace=False).astype(np.uint8)
        labels = np.tile(shown[np.arange(width) * classes // width], (height, 1))
        yield Sample(f"generated_{number:06d}", random.integers(0, 256, (height, width, 3), np.uint8), labels)


def four_sets(classes: Sequence[str], listed: int = 20) -> list[ContrastiveSet]:
    """Four sets: "background", lists of about the length of CC^L and of CC^D, and the other classes of the image."""
    rows = {name: [*classes[k + 1 :], *classes[:k]] for k, name in enumerate(classes)}
    return [
        background_only(),
        from_mapping("half the list", {name: others[: listed // 2] for name, others in rows.items()}, background=True),
        from_mapping("the list", {name: others[:listed] for name, others in rows.items()}, background=True),
        image_oracle(classes),
    ]


def random_vectors(segmenter: Segmenter) -> Callable[[Sequence[str]], Embeddings]:
    """A function that gives each text a fixed random unit vector, as only the image side is measured."""

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


def evaluate_straightforward(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    classes: Sequence[str],
    queries: Sequence[int],
    sets: Sequence[ContrastiveSet],
    embed: Embed,
    protocol: Protocol,
) -> list[SingleScores]:
    """One full forward pass for each image, class and set, as in public implementations. Texts are embedded once here
    too, so that only the image side is compared."""
    texts = embed_once(single_texts(segmenter, classes, queries, sets), embed)
    results = [SingleScores(each.name, tuple(classes)) for each in sets]
    for sample in samples:
        labels = labels_in(sample.labels)
        shown, present = shown_classes(labels, queries), present_names(labels, classes)
        for each, result in zip(sets, results, strict=True):
            result.start(sample.name)
            for label in shown:
                texts_of_query = query_texts(segmenter, each, classes[label], present)
                encoded = encode(segmenter, sample.image, protocol)
                compared = similarities(segmenter, encoded, texts.select(texts_of_query))
                found = label_map(segmenter, encoded, compared, range(len(texts_of_query)), each.original).cpu().numpy()
                result.add_query(
                    label, classes[label], texts_of_query, found - added_channels(segmenter, each), sample.labels
                )
    return results


def compare(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    classes: Sequence[str],
    queries: Sequence[int],
    sets: Sequence[ContrastiveSet],
    embed: Embed,
    protocol: Protocol,
    tolerance: float = 1e-3,
) -> Timing:
    """Time both ways. Raises UserError if an IoU differs by more than `tolerance`. Only ties can cause differences."""
    clocks = [_clocks()]
    cached = evaluate_single(segmenter, samples, classes, queries, sets, embed, protocol)
    clocks.append(_clocks())
    plain = evaluate_straightforward(segmenter, samples, classes, queries, sets, embed, protocol)
    clocks.append(_clocks())
    for first, second in zip(cached, plain, strict=True):
        if not np.allclose(first.per_class(), second.per_class(), atol=tolerance, equal_nan=True):
            raise UserError(f"benchmark: set {first.name!r}: cached and straightforward scores differ")
    asked = sum(int((each.union > 0).sum()) for each in plain)
    (cached_s, cached_cpu), (plain_s, plain_cpu) = np.diff(clocks, axis=0).tolist()
    return Timing(cached_s, plain_s, cached_cpu, plain_cpu, len(samples), asked)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
