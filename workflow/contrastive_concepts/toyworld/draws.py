"""Random numbers that depend only on (seed, image, stream) and are equal on every machine."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

BATCH = 48


class Stream(IntEnum):
    """Independent streams of one image; captions of one image are CAPTION, CAPTION + 1, ..."""

    LAYOUT = 0
    PIXELS = 1
    CAPTION = 16


def generator(seed: int, image: int, stream: int) -> np.random.Generator:
    """A Philox generator with the arguments as key, so that image k can be drawn without the images before it."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, (stream << 48) | image], np.uint64)))


_shared = generator(0, 0, 0)
_start: Any = _shared.bit_generator.state


class Draws:
    """A stream of uniform numbers, those of `generator`.

    Drawn in batches from one generator that is set to the stream's key and place: to make a generator for each stream
    would take a third of the time of a caption."""

    def __init__(self, seed: int, image: int, stream: int) -> None:
        self._key = [seed, (stream << 48) | image]
        self._drawn = 0
        self._pending: list[float] = []

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * (self._pending or self._fill()).pop()

    def _fill(self) -> list[float]:
        place = _start["state"]
        place["key"][:] = self._key
        place["counter"][0] = self._drawn // 4  # Philox makes four numbers at a time.
        self._drawn += BATCH
        _shared.bit_generator.state = _start
        self._pending = _shared.random(BATCH).tolist()
        return self._pending

    def chance(self, probability: float) -> bool:
        return (self._pending or self._fill()).pop() < probability

    def pick(self, items: Sequence[T]) -> T:
        return items[int((self._pending or self._fill()).pop() * len(items))]

    def weighted(self, weights: Sequence[float]) -> int:
        """A random index, with a probability proportional to its weight."""
        point = self.uniform() * sum(weights)
        for index, weight in enumerate(weights):
            point -= weight
            if point < 0:
                return index
        return len(weights) - 1
