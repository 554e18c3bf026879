"""An open_clip ViT image tower with access to its blocks, for images of any size."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrastive_concepts.errors import UserError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class Tower:
    """The image tower of an open_clip 3.x CLIP model. Raises UserError if it is not a plain ViT."""

    def __init__(self, clip_model: Any) -> None:
        visual = getattr(clip_model, "visual", None)
        blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
        if visual is None or blocks is None or getattr(visual, "attn_pool", None) is not None:
            raise UserError(f"segmenter: found the image tower {type(visual).__name__}, expected an open_clip ViT")
        if not hasattr(blocks[0].attn, "in_proj_weight"):
            raise UserError(f"segmenter: found {type(blocks[0].attn).__name__}, expected nn.MultiheadAttention")
        visual.eval()
        self.visual: Any = visual
        self.blocks: list[Any] = list(blocks)
        self.patch = int(visual.patch_size[0])
        self.width = int(visual.class_embedding.shape[0])
        self.embed = int(visual.proj.shape[1])

    @property
    def device(self) -> torch.device:
        device: torch.device = self.visual.conv1.weight.device
        return device

    def tokens(self, images: Tensor, antialias: bool = False) -> tuple[Tensor, tuple[int, int]]:
        """Normalised images [B, 3, H, W] -> input of block 0 [B, 1 + h*w, width], and (h, w)."""
        short = [max(self.patch - side, 0) for side in images.shape[-2:]]
        patches = self.visual.conv1(F.pad(images, (0, short[1], 0, short[0])))
        grid = (int(patches.shape[-2]), int(patches.shape[-1]))
        cls = self.visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        tokens = torch.cat([cls, patches.flatten(2).transpose(1, 2)], dim=1)
        return self.visual.ln_pre(tokens + self.positions(grid, antialias).to(patches.dtype)), grid

    def positions(self, grid: tuple[int, int], antialias: bool) -> Tensor:
        """The positional embedding [1 + h*w, width], resized bicubically to a grid. The CLS position is unchanged."""
        table = self.visual.positional_embedding
        native = self.visual.grid_size
        if tuple(native) == grid:
            return table  # type: ignore[no-any-return]
        image = table[1:].T.reshape(1, -1, *native).float()
        image = F.interpolate(image, grid, mode="bicubic", align_corners=False, antialias=antialias)
        return torch.cat([table[:1].float(), image.flatten(2)[0].T])

    def project(self, tokens: Tensor) -> Tensor:
        """Apply ln_post and the projection: [B, L, width] -> [B, L, embed]."""
        return self.visual.ln_post(tokens) @ self.visual.proj  # type: ignore[no-any-return]


def value_only(block: Any, tokens: Tensor) -> Tensor:
    """Apply a block in which each token attends only to itself, with residual and MLP: [B, L, width] -> same shape."""
    attention: nn.MultiheadAttention = block.attn
    assert attention.in_proj_weight is not None
    width = tokens.shape[-1]
    bias = None if attention.in_proj_bias is None else attention.in_proj_bias[2 * width :]
    value = F.linear(block.ln_1(tokens), attention.in_proj_weight[2 * width :], bias)
    tokens = tokens + block.ls_1(attention.out_proj(value))
    return tokens + block.ls_2(block.mlp(block.ln_2(tokens)))  # type: ignore[no-any-return]


def to_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Drop the CLS token: [B, 1 + h*w, C] -> [B, C, h, w]."""
    return tokens[:, 1:].transpose(1, 2).reshape(len(tokens), -1, *grid)


def normalise_pixels(images: Tensor, mean: tuple[float, ...] = CLIP_MEAN, std: tuple[float, ...] = CLIP_STD) -> Tensor:
    """Normalise each channel: [B, 3, H, W] in [0, 1] -> (images - mean) / std."""
    centre, spread = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (mean, std))
    return (images - centre) / spread
