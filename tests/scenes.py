"""Five random images with labels, a data set of them, and the scorer of a small segmenter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.evaluation import contrastive_sets as cs
from contrastive_concepts.evaluation.datasets import Dataset, Sample
from contrastive_concepts.evaluation.scoring import Experiment, Scorer, experiment_texts
from contrastive_concepts.evaluation.texts import embed_once
from tests.synthetic_clip import draw

SMALL = Protocol(short_side=64, long_side=256, window=64, stride=32, batch=4)
CLASSES = ("background", "boat", "water", "dog", "grass")
CONCEPTS = {"boat": ["water", "sky"], "water": ["boat", "sky", "rock"], "dog": ["grass"], "grass": ["dog", "sky"]}
QUERIES = [1, 2, 3, 4]


def vectors(texts: Sequence[str]) -> np.ndarray[Any, Any]:
    drawn = np.stack([draw(text, (64,), 5).numpy() for text in texts])
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def scene(count: int = 5, size: int = 72) -> list[Sample]:
    stream = np.random.default_rng(0)
    samples = []
    for index in range(count):
        image = stream.integers(0, 256, (size, size + 9 * index, 3), np.uint8)
        coarse = stream.integers(0, 5, (4, 4), np.uint8)
        labels = cv2.resize(coarse, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        labels[0, :5] = 255
        samples.append(Sample(f"image {index}", image, labels))
    return samples


@dataclass(frozen=True)
class Scene:
    """Samples in memory, read by name as those of a data set."""

    samples: tuple[Sample, ...]
    classes: tuple[str, ...] = CLASSES
    queries: tuple[int, ...] = tuple(QUERIES)

    @property
    def names(self) -> list[str]:
        return [sample.name for sample in self.samples]

    def read(self, name: str) -> Sample:
        [sample] = [each for each in self.samples if each.name == name]
        return sample


def scene_data(count: int = 5) -> Dataset:
    return cast("Dataset", Scene(tuple(scene(count))))


def scorer_of(segmenter: Any, experiments: Sequence[Experiment]) -> Scorer:
    texts = embed_once(experiment_texts(segmenter, CLASSES, QUERIES, experiments), vectors)
    return Scorer(segmenter, CLASSES, QUERIES, experiments, texts)


def experiments_of(own: bool) -> list[Experiment]:
    """Sets with and without "background", an oracle, a repeated set, and own background handling if there is one."""
    mined = cs.from_mapping("ccd", CONCEPTS, background=True)
    return [
        Experiment("ccd", mined, beta=0.9),
        Experiment("again", mined, beta=1.0),
        Experiment("bg", cs.background_only(), beta=0.9),
        Experiment("own", cs.background_only(original=own), beta=0.9),
        Experiment("oracle", cs.image_oracle(CLASSES), ("IoU-single",)),
    ]
