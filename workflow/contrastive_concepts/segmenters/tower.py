"""An open_clip ViT image tower with access to its blocks, for images of any size."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrastive_concepts.errors import UserError

Positions = Literal["sized", "antialiased", "scaled"]
"""How the positional embedding is resized bicubically: to the grid's size; the same with antialiasing (GEM); by the
factors (side + 0.1) / stored side (SCLIP, ClearCLIP, NACLIP). The last compares only the number of patches: a grid of
7 x 28 gets the stored 14 x 14 positions unchanged, as in the originals."""
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
READABLE = (
    "an open_clip ViT (not timm's) with a class token and no attention pooling, such as ViT-B-16, ViT-L-14 or "
    "ViT-L-14-CLIPA"
)


class Tower:
    """The image tower of an open_clip 3.x CLIP model, a ViT with a class token. Raises UserError for any other tower.

    patch: side of a patch in pixels. width: of the tokens. embed: of the image and text vectors. mean, std: with which
    `values` normalises pixels."""

    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD

    def __init__(self, clip_model: Any) -> None:
        visual = getattr(clip_model, "visual", None)
        blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
        if visual is None or blocks is None or getattr(visual, "attn_pool", None) is not None:
            other = "; maskclip reads it with pooling_head: true" if has_pooling_head(visual) else ""
            raise UserError(f"segmenter: found {described(visual)}, expected {READABLE}{other}")
        if not isinstance(blocks[0].attn, nn.MultiheadAttention):
            raise UserError(
                f"segmenter: found {described(visual)} with {type(blocks[0].attn).__name__} in its blocks, expected "
                "nn.MultiheadAttention, as in ViT-B-16"
            )
        if getattr(visual, "proj", None) is None:
            raise UserError(
                f"segmenter: found {described(visual)} without a projection, expected visual.proj, as in ViT-B-16"
            )
        visual.eval()
        self.visual: Any = visual
        self.blocks: list[Any] = list(blocks)
        self.patch = int(visual.patch_size[0])
        self.width = int(visual.class_embedding.shape[0])
        self.embed = int(visual.proj.shape[1])

    @property
    def conv(self) -> Any:
        """The convolution that turns patches into tokens."""
        return self.visual.conv1

    @property
    def device(self) -> torch.device:
        device: torch.device = self.conv.weight.device
        return device

    def tokens(self, images: Tensor, positions: Positions = "sized") -> tuple[Tensor, tuple[int, int]]:
        """Normalised images [B, 3, H, W] -> input of block 0 [B, 1 + h*w, width], and (h, w)."""
        patches, grid = self.patches(images)
        cls = self.visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        tokens = torch.cat([cls, patches], dim=1)
        return self.visual.ln_pre(tokens + self.positions(grid, positions).to(patches.dtype)), grid

    def patches(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Images [B, 3, H, W] -> patches [B, h*w, width], without positions, and (h, w).

        The remainder of a side is cut off. Sides shorter than a patch are padded."""
        short = [max(self.patch - side, 0) for side in images.shape[-2:]]
        patches = self.conv(F.pad(images, (0, short[1], 0, short[0])))
        return patches.flatten(2).transpose(1, 2), (int(patches.shape[-2]), int(patches.shape[-1]))

    def positions(self, grid: tuple[int, int], rule: Positions) -> Tensor:
        """The positional embedding [1 + h*w, width] of a grid. The CLS position is unchanged. rule: see `Positions`."""
        table = self.visual.positional_embedding
        native = (int(self.visual.grid_size[0]), int(self.visual.grid_size[1]))
        if native == grid or (rule == "scaled" and len(table) == 1 + grid[0] * grid[1]):
            return table  # type: ignore[no-any-return]
        return torch.cat([table[:1].float(), resized(table[1:], native, grid, rule)])

    def project(self, tokens: Tensor) -> Tensor:
        """Apply ln_post and the projection: [B, L, width] -> [B, L, embed]."""
        return self.visual.ln_post(tokens) @ self.visual.proj  # type: ignore[no-any-return]

    def values(self, images: Tensor) -> Tensor:
        """MaskCLIP's patch features: RGB [B, 3, H, W] in [0, 1] -> [B, embed, h, w]."""
        tokens, grid = self.tokens(normalise_pixels(images, self.mean, self.std))
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        return to_map(self.project(value_only(self.blocks[-1], tokens)), grid)


def described(visual: Any) -> str:
    """An image tower in words: its class, and that of the timm model in it; its pooling and class token."""
    if visual is None:
        return "no image tower"
    inner = getattr(visual, "trunk", visual)
    pools = any(getattr(inner, name, None) is not None for name in ("attn_pool", "attnpool"))
    has_token = any(getattr(inner, name, None) is not None for name in ("class_embedding", "cls_token"))
    traits = [type(inner).__name__] if inner is not visual else []
    for name, present in (("attention pooling", pools), ("class token", has_token)):
        traits.append(name if present else f"no {name}")
    return f"the image tower {type(visual).__name__} ({', '.join(traits)})"


def has_pooling_head(visual: Any) -> bool:
    """Whether an image tower is a timm ViT that pools its patches by attention, without a class token (SigLIP)."""
    trunk = getattr(visual, "trunk", None)
    if trunk is None:
        return False
    from timm.layers.attention_pool import AttentionPoolLatent
    from timm.layers.patch_embed import PatchEmbed
    from timm.models.vision_transformer import VisionTransformer

    return (
        isinstance(trunk, VisionTransformer)
        and isinstance(trunk.patch_embed, PatchEmbed)
        and isinstance(trunk.attn_pool, AttentionPoolLatent)
        and trunk.attn_pool.pos_embed is None
        and trunk.pos_embed is not None
        and trunk.num_prefix_tokens == 0
    )


def resized(table: Tensor, native: tuple[int, int], grid: tuple[int, int], rule: Positions) -> Tensor:
    """Positions of the patches of the stored grid [N, width] -> those of another grid, float32 [h*w, width]."""
    image = table.T.reshape(1, -1, *native).float()
    if rule == "scaled":
        factors = ((grid[0] + 0.1) / native[0], (grid[1] + 0.1) / native[1])
        image = F.interpolate(
            image, scale_factor=factors, mode="bicubic", align_corners=False, recompute_scale_factor=False
        )
    else:
        antialias = rule == "antialiased"
        image = F.interpolate(image, grid, mode="bicubic", align_corners=False, antialias=antialias)
    return image.flatten(2)[0].T


def value_only(block: Any, tokens: Tensor) -> Tensor:
    """Apply a block in which each token attends only to itself, with residual and MLP: [B, L, width] -> same shape."""
    tokens = tokens + block.ls_1(block.attn.out_proj(values_of(block, tokens)))
    return tokens + block.ls_2(block.mlp(block.ln_2(tokens)))  # type: ignore[no-any-return]


def values_of(block: Any, tokens: Tensor) -> Tensor:
    """The values of a block's attention, all heads together: [B, L, width] -> same shape."""
    width, layer = tokens.shape[-1], block.attn
    bias = None if layer.in_proj_bias is None else layer.in_proj_bias[2 * width :]
    return F.linear(block.ln_1(tokens), layer.in_proj_weight[2 * width :], bias)


def to_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Drop the CLS token: [B, 1 + h*w, C] -> [B, C, h, w]."""
    return tokens[:, 1:].transpose(1, 2).reshape(len(tokens), -1, *grid)


def normalise_pixels(images: Tensor, mean: tuple[float, ...] = CLIP_MEAN, std: tuple[float, ...] = CLIP_STD) -> Tensor:
    """Normalise each channel: [B, 3, H, W] in [0, 1] -> (images - mean) / std."""
    centre, spread = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (mean, std))
    return (images - centre) / spread
