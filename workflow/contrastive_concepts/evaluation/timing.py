"""How much caching saves: IoU-single both ways on the same images, in one run."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet
from contrastive_concepts.evaluation.datasets import Sample
from contrastive_concepts.evaluation.protocol import encode, label_map, similarities
from contrastive_concepts.evaluation.single import (
    SingleScores,
    added_channels,
    evaluate_single,
    present_names,
    query_texts,
    shown_classes,
    single_texts,
)
from contrastive_concepts.evaluation.texts import Embed, embed_once
from contrastive_concepts.segmenters.segmenter import Segmenter


@dataclass(frozen=True)
class Timing:
    """Seconds of both ways; `queries` is the number of (image, class, set) triples.

    The processor's seconds say what the work is where other jobs share the machine."""

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


def evaluate_straightforward(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    classes: Sequence[str],
    queries: Sequence[int],
    sets: Sequence[ContrastiveSet],
    embed: Embed,
    protocol: Protocol,
) -> list[SingleScores]:
    """One full forward for each image, class and set, as public implementations do; texts are embedded once here too,
    so that only the image side is compared."""
    texts = embed_once(single_texts(segmenter, classes, queries, sets), embed)
    results = [SingleScores(each.name, tuple(classes)) for each in sets]
    for sample in samples:
        shown, present = shown_classes(sample.labels, queries), present_names(sample.labels, classes)
        for each, result in zip(sets, results, strict=True):
            result.start(sample.name)
            for label in shown:
                chosen = query_texts(segmenter, each, classes[label], present)
                encoded = encode(segmenter, sample.image, protocol)
                compared = similarities(segmenter, encoded, texts.select(chosen))
                found = label_map(segmenter, encoded, compared, range(len(chosen)), each.original).cpu().numpy()
                result.add_query(label, classes[label], chosen, found - added_channels(segmenter, each), sample.labels)
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
    """Time both ways. Raises UserError where an IoU differs by more than `tolerance` (ties aside, none does)."""
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
