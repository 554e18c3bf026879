"""PAMR: pixel-adaptive mask refinement, an average over neighbours of similar colour."""

import torch
import torch.nn.functional as F
from torch import Tensor

DILATIONS = (1, 2, 4, 8, 12, 24)


def pamr(image: Tensor, masks: Tensor, iterations: int = 10, dilations: tuple[int, ...] = DILATIONS) -> Tensor:
    """Image float32 [B, 3, H, W], masks [B, C, h, w] -> refined masks [B, C, h, w]."""
    image = F.interpolate(image, masks.shape[-2:], mode="bilinear", align_corners=True)
    around = _neighbours(image, dilations)
    centre = image[:, :, None]
    spread = torch.cat([around, centre.expand(-1, -1, len(dilations), -1, -1)], dim=2).std(dim=2, keepdim=True)
    affinity = -(centre - around).abs() / (1e-8 + 0.1 * spread)
    weights = torch.softmax(affinity.mean(dim=1), dim=1)
    # One text at a time: with long lists, the 48 shifted copies of all masks would not fit into memory.
    return torch.cat([_refine(mask, weights, iterations, dilations) for mask in torch.split(masks, 1, dim=1)], dim=1)


def _refine(mask: Tensor, weights: Tensor, iterations: int, dilations: tuple[int, ...]) -> Tensor:
    for _ in range(iterations):
        mask = (_neighbours(mask, dilations)[:, 0] * weights).sum(dim=1, keepdim=True)
    return mask


def _neighbours(image: Tensor, dilations: tuple[int, ...]) -> Tensor:
    """[B, C, H, W] -> the 8 neighbours at each dilation [B, C, 8 * len(dilations), H, W]. Borders are replicated."""
    height, width = image.shape[-2:]
    shifted = []
    for step in dilations:
        padded = F.pad(image, (step,) * 4, mode="replicate")
        for row in (0, step, 2 * step):
            for column in (0, step, 2 * step):
                if (row, column) != (step, step):
                    shifted.append(padded[..., row : row + height, column : column + width])
    return torch.stack(shifted, dim=2)
