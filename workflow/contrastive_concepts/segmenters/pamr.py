"""PAMR: pixel-adaptive mask refinement, an average over neighbours of similar colour."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

DILATIONS = (1, 2, 4, 8, 12, 24)
AT_ONCE = 1 << 16
"""Pixels whose weights are computed at once: 600 bytes each, in several copies."""


def pamr(image: Tensor, masks: Tensor, iterations: int = 10, dilations: tuple[int, ...] = DILATIONS) -> Tensor:
    """Images float32 [B, 3, H, W], masks [B, C, h, w] -> refined masks [B, C, h, w]."""
    image = F.interpolate(image, masks.shape[-2:], mode="bilinear", align_corners=True)
    return torch.stack([refiner(one, iterations, dilations)(each) for one, each in zip(image, masks, strict=True)])


def refiner(image: Tensor, iterations: int = 10, dilations: tuple[int, ...] = DILATIONS) -> Callable[[Tensor], Tensor]:
    """What refines masks float32 [C, h, w] by an image float32 [3, h, w]. The weights are computed once."""
    height, width = image.shape[-2:]
    colours = image.flatten(1)
    around = _neighbours(height, width, dilations).to(image.device)
    weights = torch.cat(
        [
            _weights(centre, colours.index_select(1, part.flatten()).reshape(3, *part.shape), len(dilations))
            for centre, part in zip(torch.split(colours, AT_ONCE, dim=1), torch.split(around, AT_ONCE), strict=True)
        ]
    )

    def refine(masks: Tensor) -> Tensor:
        # Pixels are rows: of all masks at once, each pixel is a weighted sum of the rows of its neighbours.
        rows = masks.flatten(1).T.contiguous()
        for _ in range(iterations):
            rows = F.embedding_bag(around, rows, per_sample_weights=weights, mode="sum")
        return rows.T.reshape(masks.shape)

    return refine


def _weights(centre: Tensor, around: Tensor, times: int) -> Tensor:
    """Colours of pixels [3, n] and of their neighbours [3, n, N] -> weights of the neighbours [n, N].

    times: how often the pixel itself is in the spread, once a dilation."""
    centre = centre[..., None]
    # The standard deviation; on a CPU `std` takes twice as long.
    count = around.shape[2] + times
    mean = (around.sum(dim=2, keepdim=True) + times * centre) / count
    squares = (around - mean).square().sum(dim=2, keepdim=True) + times * (centre - mean).square()
    spread = (squares / (count - 1)).sqrt()
    affinity = -(centre - around).abs() / (1e-8 + 0.1 * spread)
    return torch.softmax(affinity.mean(dim=0), dim=1)


def _neighbours(height: int, width: int, dilations: tuple[int, ...]) -> Tensor:
    """Indices of the 8 neighbours of each pixel at each dilation, int32 [H*W, 8 * len(dilations)]. Borders repeat."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    shifts = [(down * step, across * step) for step in dilations for down in (-1, 0, 1) for across in (-1, 0, 1)]
    indices = [
        ((rows + down).clamp(0, height - 1) * width + (columns + across).clamp(0, width - 1)).int()
        for down, across in shifts
        if (down, across) != (0, 0)
    ]
    return torch.stack(indices, dim=2).flatten(0, 1)
