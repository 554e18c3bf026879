"""TCL: a trained mask decoder on a frozen CLIP, with one independent mask for each text."""

import copy
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from contrastive_concepts.segmenters.checkpoint import read_checkpoint, select
from contrastive_concepts.segmenters.pamr import pamr
from contrastive_concepts.segmenters.segmenter import Features, Segmenter, boosted
from contrastive_concepts.segmenters.tower import Tower, normalise_pixels, to_map, value_only

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
ENCODER = "masker.image_encoder."
DECODER = f"{ENCODER}decoder.decoder.net."
STAGES, CONVS = (0, 1), ("conv", "conv2")


class Tcl(Segmenter):
    """Scores are masks in [0, 1] at pixel resolution. Background handling adds a first channel, constant `threshold`.

    checkpoint: the official tcl.pth, as a path or state dict. refine: apply PAMR to the masks. knowledge: weight of the
    frozen CLIP's masks in the result (kp_w in the original). threshold: 0.5 in the paper (6.1.1)."""

    combines_many = True
    scored_extra = ("frozen", "pixels")

    def __init__(
        self,
        clip_model: Any,
        checkpoint: Path | str | dict[str, Tensor],
        threshold: float,
        refine: bool,
        knowledge: float,
    ) -> None:
        super().__init__(clip_model)
        self.threshold, self.refine, self.knowledge = threshold, refine, knowledge
        last, shapes = self.tower.blocks[-1], head_shapes(self.tower)
        state = checkpoint if isinstance(checkpoint, dict) else read_checkpoint(checkpoint, "model", shapes)
        source = "checkpoint" if isinstance(checkpoint, dict) else checkpoint
        heads = select(state, shapes, r"clip_(image|text)_encoder\.|\w+_loss\.", source)
        self.block = copy.deepcopy(last)
        prefix = _block(self.tower)
        self.block.load_state_dict(
            {key.removeprefix(prefix): value for key, value in heads.items() if key.startswith(prefix)}
        )
        self.heads = {key: value.to(self.tower.device) for key, value in heads.items() if not key.startswith(prefix)}

    def _encode(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        pad = [-side % self.tower.patch for side in images.shape[-2:]]
        top, left = pad[0] // 2, pad[1] // 2
        pixels = normalise_pixels(images, IMAGENET_MEAN, IMAGENET_STD)
        pixels = F.pad(pixels, (left, pad[1] - left, top, pad[0] - top))
        tokens, grid = self.tower.tokens(pixels)
        for block in self.tower.blocks[:-1]:
            tokens = block(tokens)
        frozen = to_map(self.tower.project(value_only(self.tower.blocks[-1], tokens)), grid)
        dense = self._project(self._decode(to_map(value_only(self.block, tokens), grid)))
        return dense, {"frozen": frozen, "pixels": pixels}

    def _decode(self, maps: Tensor) -> Tensor:
        for stage in STAGES:
            maps = F.interpolate(maps, scale_factor=2, mode="nearest")
            for conv in CONVS:
                unit = f"{DECODER}{stage}.{conv}."
                inner = F.gelu(_layer_norm(maps, self.heads[f"{unit}norm.weight"], self.heads[f"{unit}norm.bias"]))
                inner = F.conv2d(inner, self.heads[f"{unit}conv.weight"], self.heads[f"{unit}conv.bias"], padding=1)
                maps = maps + torch.tanh(self.heads[f"{unit}gate.gate"]) * inner
        return maps

    def _project(self, maps: Tensor) -> Tensor:
        unit = f"{ENCODER}decoder.image_proj."
        maps = _layer_norm(maps, self.heads[f"{unit}ln.weight"], self.heads[f"{unit}ln.bias"])
        return torch.einsum("bchw,cd->bdhw", maps, self.heads[f"{unit}proj"])

    @torch.inference_mode()
    def similarities(self, features: Features, texts: Tensor, boosts: Tensor | None = None) -> Tensor:
        """Masks [B, T, 4h, 4w] in [0, 1], final except for their size. Each mask is independent of the other texts."""
        texts = texts.to(features.dense)
        learned = boosted(_cosine(features.dense, texts), boosts)
        masks = torch.sigmoid(self.heads["masker.sim2mask.w"] * learned + self.heads["masker.sim2mask.b"])
        if self.refine:
            masks = pamr(features.extra["pixels"], masks)
        if self.knowledge > 0:
            frozen = torch.sigmoid(10 * (boosted(_cosine(features.extra["frozen"], texts), boosts) - 0.25))
            frozen = F.interpolate(frozen, masks.shape[-2:], mode="bilinear", align_corners=False)
            masks = self.knowledge * frozen + (1 - self.knowledge) * masks
        return masks

    def _combine(self, features: Features, similarities: Tensor, background: bool) -> Tensor:
        padded = features.extra["pixels"].shape[-2:]
        masks = F.interpolate(similarities, padded, mode="bilinear", align_corners=False)
        height, width = features.size
        top, left = (padded[0] - height) // 2, (padded[1] - width) // 2
        masks = masks[..., top : top + height, left : left + width]
        return torch.cat([torch.full_like(masks[:, :1], self.threshold), masks], dim=1) if background else masks


def head_shapes(tower: Tower) -> dict[str, tuple[int, ...]]:
    """The trained tensors of a checkpoint for this tower, and their shapes."""
    width = tower.width
    block = tower.blocks[-1].state_dict()
    shapes = {_block(tower) + key: tuple(value.shape) for key, value in block.items()}
    shapes |= {
        f"{ENCODER}decoder.image_proj.proj": (width, tower.embed),
        f"{ENCODER}decoder.image_proj.ln.weight": (width,),
        f"{ENCODER}decoder.image_proj.ln.bias": (width,),
        "masker.sim2mask.w": (),
        "masker.sim2mask.b": (),
    }
    for stage in STAGES:
        for conv in CONVS:
            unit = f"{DECODER}{stage}.{conv}."
            shapes |= {f"{unit}norm.weight": (width,), f"{unit}norm.bias": (width,), f"{unit}gate.gate": ()}
            shapes |= {f"{unit}conv.weight": (width, width, 3, 3), f"{unit}conv.bias": (width,)}
    return shapes


def _block(tower: Tower) -> str:
    return f"{ENCODER}backbone.transformer.resblocks.{len(tower.blocks) - 1}."


def _layer_norm(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(maps.permute(0, 2, 3, 1), weight.shape, weight, bias, eps=1e-5).permute(0, 3, 1, 2)


def _cosine(dense: Tensor, texts: Tensor) -> Tensor:
    return torch.einsum("bdhw,td->bthw", F.normalize(dense, dim=1, eps=1e-6), texts)
