"""An open_clip tower without a class token, whose head pools the patches by attention: SigLIP and SigLIP 2."""

from typing import Any

import torch
from torch import Tensor

from contrastive_concepts.errors import UserError
from contrastive_concepts.segmenters.tower import (
    CLIP_MEAN,
    CLIP_STD,
    Positions,
    Tower,
    described,
    has_pooling_head,
    normalise_pixels,
    resized,
)

SIGLIP_MEAN = SIGLIP_STD = (0.5, 0.5, 0.5)


class PooledTower(Tower):
    """A timm ViT in an open_clip 3.x model, read through the values of its pooling head.

    MaskCLIP's idea for another head: a patch's feature is what the head gives if it attends to this patch alone. mean,
    std: the model's own. Raises UserError for a tower without such a head."""

    def __init__(self, clip_model: Any) -> None:
        visual: Any = getattr(clip_model, "visual", None)
        if not has_pooling_head(visual):
            raise UserError(
                f"segmenter maskclip: option pooling_head: found {described(visual)}, expected a timm ViT with "
                "attention pooling and no class token, such as ViT-B-16-SigLIP or ViT-B-16-SigLIP2"
            )
        visual.eval()
        self.visual = visual
        self.trunk: Any = visual.trunk
        self.blocks = list(self.trunk.blocks)
        self.patch = int(self.trunk.patch_embed.patch_size[0])
        self.width = int(self.trunk.embed_dim)
        self.mean, self.std = pixel_constants(visual)
        with torch.no_grad():
            self.embed = int(self.project(self.trunk.pos_embed[:, :1]).shape[-1])

    @property
    def conv(self) -> Any:
        """The convolution that turns patches into tokens."""
        return self.trunk.patch_embed.proj

    def tokens(self, images: Tensor, positions: Positions = "sized") -> tuple[Tensor, tuple[int, int]]:
        """Normalised images [B, 3, H, W] -> input of block 0 [B, h*w, width], and (h, w)."""
        patches, grid = self.patches(images)
        patches = self.trunk.patch_embed.norm(patches)
        return self.trunk.norm_pre(patches + self.positions(grid, positions).to(patches.dtype)), grid

    def positions(self, grid: tuple[int, int], rule: Positions) -> Tensor:
        """The positional embedding [h*w, width] of a grid. rule: see `Positions`."""
        table: Tensor = self.trunk.pos_embed[0]
        native = (int(self.trunk.patch_embed.grid_size[0]), int(self.trunk.patch_embed.grid_size[1]))
        return table if native == grid else resized(table, native, grid, rule)

    def project(self, tokens: Tensor) -> Tensor:
        """Apply the head to each token alone, with its norm: [B, L, width] -> [B, L, embed]."""
        pool = self.trunk.attn_pool
        _, value = pool.kv(self.trunk.norm(tokens)).chunk(2, dim=-1)
        pooled = pool.proj(value)
        if pool.mlp is not None:
            pooled = pooled + pool.mlp(pool.norm(pooled))
        return self.visual.head(self.trunk.head(self.trunk.fc_norm(pooled)))  # type: ignore[no-any-return]

    def values(self, images: Tensor) -> Tensor:
        """Patch features: RGB [B, 3, H, W] in [0, 1] -> [B, embed, h, w]."""
        tokens, grid = self.tokens(normalise_pixels(images, self.mean, self.std))
        for block in self.blocks:
            tokens = block(tokens)
        return self.project(tokens).transpose(1, 2).reshape(len(images), self.embed, *grid)


def pixel_constants(visual: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that open_clip has stored in an image tower; SigLIP's if these are CLIP's.

    open_clip stores CLIP's where it knows none, as for weights in a local file. No published tower of this kind was
    trained with them."""
    mean, std = (tuple(getattr(visual, name, None) or ()) for name in ("image_mean", "image_std"))
    return (SIGLIP_MEAN, SIGLIP_STD) if (mean, std) in (((), ()), (CLIP_MEAN, CLIP_STD)) else (mean, std)
