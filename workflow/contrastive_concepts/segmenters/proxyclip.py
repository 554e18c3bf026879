"""ProxyCLIP (Lan et al., ECCV 2024, arXiv 2408.04883): CLIP's values, averaged over patches alike to a second model.

Written from the paper's formulas. How values are resized to another grid was learnt from public reimplementations. It
was compared with no output of the authors' code, whose licence excludes commercial use."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from contrastive_concepts.segmenters.image_model import ImageModel
from contrastive_concepts.segmenters.segmenter import Features, Segmenter
from contrastive_concepts.segmenters.tower import normalise_pixels, to_map, values_of


class ProxyClip(Segmenter):
    """Scores are cosines at the patch resolution of the image model. The method has no background handling of its own.

    In the last block of CLIP's tower, `proxy_attention` replaces the attention of every head. The block's residual
    connection and MLP are left out. The values are those of the patches, without the class token; they are resized
    bilinearly to the image model's grid. That CLIP's positions are resized to the grid's size ("sized") is a choice
    made here. shift, sharpness: beta and gamma in the paper. image_model: None only scores encoded features."""

    combines_many = True

    def __init__(self, clip_model: Any, image_model: ImageModel | None, shift: float, sharpness: float) -> None:
        super().__init__(clip_model)
        self.image_model, self.shift, self.sharpness = image_model, shift, sharpness

    def _encode(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        assert self.image_model is not None
        tokens, grid = self.tower.tokens(normalise_pixels(images / 255))
        for block in self.tower.blocks[:-1]:
            tokens = block(tokens)
        rows, columns = (side * self.tower.patch for side in grid)
        guide = self.image_model.features(images[..., :rows, :columns])  # the pixels that CLIP's grid covers
        block = self.tower.blocks[-1]
        values = F.interpolate(
            to_map(values_of(block, tokens), grid), guide.shape[-2:], mode="bilinear", align_corners=False
        )
        weights = proxy_attention(guide, self.shift, self.sharpness)
        mixed = block.ls_1(block.attn.out_proj(weights @ values.flatten(2).transpose(1, 2).to(weights.dtype)))
        return self.tower.project(mixed).transpose(1, 2).reshape(len(images), -1, *guide.shape[-2:]), {}

    def _combine(self, features: Features, similarities: Tensor, background: bool) -> Tensor:
        return similarities


def proxy_attention(guide: Tensor, shift: float, sharpness: float) -> Tensor:
    """How much a patch takes from each patch: features [B, D, h, w] -> float32 [B, h*w, h*w], rows sum to 1.

    softmax(sharpness * (S - shift * mean(S))), of the cosines S between patches and their mean over all pairs of an
    image. Pairs with S < shift * mean(S) are masked. A patch is never masked for itself, which matters only where all
    pairs are below: in an image of almost equal patches, each then keeps its own value."""
    with torch.autocast(guide.device.type, enabled=False):
        unit = F.normalize(guide.float().flatten(2), dim=1)
        excess = unit.transpose(1, 2) @ unit
        excess -= shift * excess.mean(dim=(1, 2), keepdim=True)
        masked = excess < 0
        masked.diagonal(dim1=1, dim2=2).fill_(False)
        return torch.softmax(excess.mul_(sharpness).masked_fill_(masked, -torch.inf), dim=-1)
