"""CLIP-DINOiser: MaskCLIP features, averaged over patches with similar predicted DINO features; learned saliency."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from contrastive_concepts.segmenters.checkpoint import read_checkpoint, select
from contrastive_concepts.segmenters.segmenter import Features, Segmenter, probabilities
from contrastive_concepts.segmenters.tower import Tower, normalise_pixels, to_map, value_only

CORRELATION_WIDTH = 256


class ClipDinoiser(Segmenter):
    """Scores are probabilities at patch resolution. With background handling, text 0 must be "background".

    checkpoint: the official last.pt, as a path or state dict. gamma: correlations below it are set to 0. delta: with
    background handling, a patch that is not salient is background unless its best text has at least this probability.
    """

    combines_many = True
    scored_extra = ("saliency_logit",)

    def __init__(self, clip_model: Any, checkpoint: Path | str | dict[str, Tensor], gamma: float, delta: float) -> None:
        super().__init__(clip_model)
        self.gamma, self.delta = gamma, delta
        source = "checkpoint" if isinstance(checkpoint, dict) else checkpoint
        shapes = head_shapes(self.tower)
        state = checkpoint if isinstance(checkpoint, dict) else read_checkpoint(checkpoint, "model_state_dict", shapes)
        heads = select(state, shapes, r"(clip_backbone|vit_encoder|dino|found)[._]|mean$|std$", source)
        self.heads = {name: tensor.to(self.tower.device) for name, tensor in heads.items()}

    def _encode(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        patch = self.tower.patch
        pad = [-side % patch for side in images.shape[-2:]]
        tokens, grid = self.tower.tokens(normalise_pixels(F.pad(images / 255, (0, pad[1], 0, pad[0]))))
        third_last = max(len(self.tower.blocks) - 3, 0)
        inner = tokens
        for index, block in enumerate(self.tower.blocks[:-1]):
            if index == third_last:
                tokens = tokens + block.ls_1(block.attention(block.ln_1(tokens)))
                inner = block.ln_2(tokens)
                tokens = tokens + block.ls_2(block.mlp(inner))
            else:
                tokens = block(tokens)
        dense = to_map(self.tower.project(value_only(self.tower.blocks[-1], tokens)), grid)
        guide = to_map(inner, grid)
        saliency = F.conv2d(F.normalize(guide, dim=1), self.heads["bkg_decoder.weight"], self.heads["bkg_decoder.bias"])
        pooled = self._pool(dense, self.correlations(guide))
        return pooled, {"saliency_logit": saliency, "feat": dense, "guide": guide}

    def correlations(self, guide: Tensor) -> Tensor:
        """[B, width, h, w] -> cosines between patches [B, N, N]."""
        padded = F.pad(guide, (1, 1, 1, 1), mode="replicate")
        projected = F.conv2d(padded, self.heads["obj_proj.weight"], self.heads["obj_proj.bias"]).flatten(2)
        projected = projected / torch.linalg.vector_norm(projected, dim=1, keepdim=True)
        return torch.matmul(projected.transpose(1, 2), projected)

    def _pool(self, dense: Tensor, correlations: Tensor) -> Tensor:
        weights = correlations.masked_fill(correlations < self.gamma, 0)
        pooled = dense.flatten(2) @ weights.transpose(1, 2)
        return (pooled / (weights.sum(dim=2)[:, None] + 1e-6)).view_as(dense)

    def _combine(self, features: Features, similarities: Tensor, background: bool) -> Tensor:
        scores = probabilities(similarities)
        if background:
            saliency = torch.sigmoid(features.extra["saliency_logit"])[:, 0]
            hidden = (scores.amax(dim=1) < self.delta) & (saliency <= 0.5)
            scores[:, 0] = torch.where(hidden, torch.ones_like(saliency), scores[:, 0])
        return scores


def head_shapes(tower: Tower) -> dict[str, tuple[int, ...]]:
    """The trained tensors of a checkpoint for this tower, and their shapes."""
    return {
        "obj_proj.weight": (CORRELATION_WIDTH, tower.width, 3, 3),
        "obj_proj.bias": (CORRELATION_WIDTH,),
        "bkg_decoder.weight": (1, tower.width, 1, 1),
        "bkg_decoder.bias": (1,),
    }
