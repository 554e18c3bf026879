"""Random numbers that depend only on (seed, image, stream) and are equal on every machine."""

from collections.abc import Sequence
from enum import IntEnum
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_BATCH = 48


class Stream(IntEnum):
    """Independent streams of one image; captions of one image are CAPTION, CAPTION + 1, ..."""

    LAYOUT = 0
    PIXELS = 1
    CAPTION = 16


def generator(seed: int, image: int, stream: int) -> np.random.Generator:
    """A Philox generator with the arguments as key, so that image k can be drawn without the images before it."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, (stream << 48) | image], np.uint64)))


class Draws:
    """A stream of uniform numbers. Drawn in batches, as single draws would take most of the time of a caption."""

    def __init__(self, seed: int, image: int, stream: int) -> None:
        self._generator = generator(seed, image, stream)
        self._pending: list[float] = []

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        if not self._pending:
            self._pending = self._generator.random(_BATCH).tolist()
        return low + (high - low) * self._pending.pop()

    def chance(self, probability: float) -> bool:
        return self.uniform() < probability

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self.uniform() * len(items))]

    def weighted(self, weights: Sequence[float]) -> int:
        """A random index, with a probability proportional to its weight."""
        point = self.uniform() * sum(weights)
        for index, weight in enumerate(weights):
            point -= weight
            if point < 0:
                return index
        return len(weights) - 1
