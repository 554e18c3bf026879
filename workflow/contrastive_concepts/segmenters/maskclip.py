"""MaskCLIP as in the CLIP-DINOiser code: the last block uses only the values; softmax(100 cos) over the texts."""

from functools import cached_property
from typing import Any

from torch import Tensor

from contrastive_concepts.segmenters.pooled_tower import PooledTower
from contrastive_concepts.segmenters.segmenter import Features, Segmenter, probabilities
from contrastive_concepts.segmenters.tower import Tower


class MaskClip(Segmenter):
    """Scores are probabilities at patch resolution. The method has no background handling of its own.

    pooling_head: read a tower without a class token through the values of its pooling head, see `PooledTower`."""

    combines_many = True

    def __init__(self, clip_model: Any, pooling_head: bool) -> None:
        self.pooling_head = pooling_head
        super().__init__(clip_model)

    @cached_property
    def tower(self) -> Tower:
        return PooledTower(self._clip_model) if self.pooling_head else Tower(self._clip_model)

    def _encode(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return self.tower.values(images / 255), {}

    def _combine(self, features: Features, similarities: Tensor, background: bool) -> Tensor:
        return probabilities(similarities)
