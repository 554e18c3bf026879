"""MaskCLIP as in the CLIP-DINOiser code: the last block uses only the values; softmax(100 cos) over the texts."""

import torch
from torch import Tensor

from contrastive_concepts.segmenters.segmenter import Features, Segmenter
from contrastive_concepts.segmenters.tower import normalise_pixels, to_map, value_only


class MaskClip(Segmenter):
    """Scores are probabilities at patch resolution. The method has no background handling of its own."""

    name = "maskclip"
    combines_many = True

    def _encode(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        tokens, grid = self.tower.tokens(normalise_pixels(images / 255))
        for block in self.tower.blocks[:-1]:
            tokens = block(tokens)
        return to_map(self.tower.project(value_only(self.tower.blocks[-1], tokens)), grid), {}

    def _combine(self, features: Features, similarities: Tensor, background: bool) -> Tensor:
        return torch.softmax(100 * similarities, dim=1)
