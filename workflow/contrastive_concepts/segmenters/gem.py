"""GEM: self-self attention (queries, keys and values, each with themselves) in parallel to the ordinary stream."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from contrastive_concepts.errors import UserError
from contrastive_concepts.segmenters.segmenter import Features, Segmenter
from contrastive_concepts.segmenters.tower import normalise_pixels, to_map


class Gem(Segmenter):
    """Scores are 100 cos at patch resolution; with minmax, values in [0, 1] at pixel resolution.

    depth: the last depth - 1 blocks are changed, as in the original (7: six blocks). The default is 7, or the number of
    blocks in a shallower tower. temperature: None adapts it to each image. threshold: a pixel is background if its
    highest softmax probability is below it. minmax: resize scores to pixels, then scale them to [0, 1] for each text
    and window, as the original does for heat maps."""

    combines_many = True

    def __init__(
        self,
        clip_model: Any,
        depth: int | None,
        iterations: int,
        temperature: float | None,
        threshold: float,
        minmax: bool,
    ) -> None:
        super().__init__(clip_model)
        layers = len(self.tower.blocks)
        self.depth = min(7, layers) if depth is None else depth
        if not 1 < self.depth <= layers + 1:
            raise UserError(f"segmenter gem: depth: found {depth}, expected 2..{layers + 1} for {layers} blocks")
        self.iterations, self.temperature, self.threshold, self.minmax = iterations, temperature, threshold, minmax

    def _encode(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        ordinary, grid = self.tower.tokens(normalise_pixels(images / 255), "antialiased")
        changed = self.depth - 1
        for block in self.tower.blocks[:-changed]:
            ordinary = block(ordinary)
        stream = ordinary
        for block in self.tower.blocks[-changed:]:
            stream = stream + self._residual(block, ordinary)
            ordinary = block(ordinary)
        return to_map(self.tower.project(stream), grid), {}

    def _residual(self, block: Any, tokens: Tensor) -> Tensor:
        attention = block.attn
        inner = block.ln_1(tokens)
        heads = F.linear(inner, attention.in_proj_weight, attention.in_proj_bias)
        batch, length, width = inner.shape
        query, key, value = heads.view(batch, length, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
        if self.temperature is None:
            # One scalar per image. value.shape[-1] is the width of a head, 64 in CLIP.
            scale = inner.norm(dim=-1).mean(dim=1).view(-1, 1, 1, 1) * value.shape[-1] ** -0.5
        else:
            scale = torch.as_tensor(self.temperature, device=inner.device)
        mean = sum(self._attend(source, value, scale) for source in (value, key, query)) / 3
        return block.ls_1(attention.out_proj(mean.transpose(1, 2).reshape(batch, length, width)))  # type: ignore[no-any-return, union-attr]

    def _attend(self, source: Tensor, value: Tensor, scale: Tensor) -> Tensor:
        for _ in range(self.iterations):
            source = F.normalize(source, dim=-1)
            source = torch.softmax(scale * source @ source.transpose(-2, -1), dim=-1) @ source
        source = F.normalize(source, dim=-1)
        return torch.softmax(scale * source @ source.transpose(-2, -1), dim=-1) @ value

    def _combine(self, features: Features, similarities: Tensor, background: bool) -> Tensor:
        if not self.minmax:
            return 100 * similarities
        pixels = F.interpolate(similarities, features.size, mode="bilinear", align_corners=False)
        low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
        return (pixels - low) / (high - low).clamp_min(torch.finfo(pixels.dtype).tiny)

    def finishes_by_text(self, background: bool = False) -> bool:
        return not background

    def finish(self, scores: Tensor, background: bool = False, classes: Sequence[int] | None = None) -> Tensor:
        if not background:
            return scores
        # max softmax < threshold  <=>  max score < log(threshold) + logsumexp
        floor = torch.logsumexp(scores, dim=0, keepdim=True) + torch.tensor(self.threshold).log()
        return torch.cat([floor, scores])
