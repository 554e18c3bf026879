"""Weights that can be written down: each tensor drawn from a stream seeded by its name, as the parity files were."""

import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor

from contrastive_concepts.encoders.text_tower import encode_tokens


def spread(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Scale and offset of a tensor's values, by its state-dict name."""
    parts = name.split(".")
    leaf, parent = parts[-1], parts[-2] if len(parts) > 1 else ""
    fixed = {"logit_scale": (0.0, math.log(100)), "gate": (0.2, 0.5), "class_embedding": (0.5, 0.0)}
    image_side = name.startswith("visual") or "clip_visual" in name
    ends = {
        "sim2mask.w": (0.0, 12.0),
        "sim2mask.b": (0.0, -1.5),
        "bias": (0.02, 0.0),
        "ln_1.weight": (0.1, 1.0),
        "norm.weight": (0.1, 1.0),
        "positional_embedding": (0.3 if image_side else 0.02, 0.0),
        "token_embedding.weight": (0.05, 0.0),
    }
    if leaf in fixed:
        return fixed[leaf]
    if leaf == "weight" and parent.startswith("ln"):
        return 0.1, 1.0
    for end, value in ends.items():
        if name.endswith(end):
            return value
    if leaf in ("proj", "text_projection"):
        return shape[0] ** -0.5, 0.0
    gains = {"in_proj_weight": 1.5, "out_proj.weight": 0.3, "c_proj.weight": 0.5, "conv1.weight": 3.0}
    gain = next((value for end, value in gains.items() if name.endswith(end)), 1.0)
    return (gain * math.prod(shape[1:]) ** -0.5, 0.0) if len(shape) > 1 else (0.1, 0.0)


def draw(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    stream = np.random.RandomState(zlib.crc32(f"{seed}:{name}".encode()))
    scale, offset = spread(name, shape)
    values = stream.standard_normal(shape or (1,)).astype(np.float32) * np.float32(scale) + np.float32(offset)
    return torch.from_numpy(values.reshape(shape))


def clip_model(
    layers: int = 12,
    width: int = 128,
    patch: int = 16,
    size: int = 224,
    quick_gelu: bool = False,
    text_heads: int = 2,
    half: bool = False,
) -> Any:
    """A small open_clip model with drawn weights; `half` rounds them through fp16 as OpenAI's files are."""
    vision = {"image_size": size, "layers": layers, "width": width, "patch_size": patch}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": text_heads, "layers": 2}
    model = open_clip.model.CLIP(embed_dim=64, vision_cfg=vision, text_cfg=text, quick_gelu=quick_gelu)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and not name.endswith("attn_mask"):
                drawn = draw(name, tuple(value.shape), 0)
                value.copy_(drawn.half().float() if half and _stored_half(name) else drawn)
    return model.eval()


def _stored_half(name: str) -> bool:
    ends = ("in_proj_weight", "in_proj_bias", "text_projection", "visual.proj", "conv1.weight")
    inner = ("attn.out_proj", "mlp.c_fc", "mlp.c_proj")
    return name.endswith(ends) or any(part in name for part in inner)


def random_clip(folder: Path) -> Path:
    """A folder for `local-dir:` with the toy CLIP's architecture and random weights."""
    from contrastive_concepts.toyworld.clip import NAME, WEIGHTS_FILE, register, write_architecture

    write_architecture(folder)
    register(folder)
    torch.manual_seed(0)
    model = open_clip.create_model(NAME)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / WEIGHTS_FILE)
    return folder


def masker(layers: int = 12, width: int = 128, embed: int = 64, seed: int = 1) -> dict[str, Tensor]:
    """TCL's trained part in the official names."""
    encoder = "masker.image_encoder."
    block = f"{encoder}backbone.transformer.resblocks.{layers - 1}."
    shapes: dict[str, tuple[int, ...]] = {
        f"{block}attn.in_proj_weight": (3 * width, width),
        f"{block}attn.in_proj_bias": (3 * width,),
        f"{block}attn.out_proj.weight": (width, width),
        f"{block}attn.out_proj.bias": (width,),
        f"{block}mlp.c_fc.weight": (4 * width, width),
        f"{block}mlp.c_fc.bias": (4 * width,),
        f"{block}mlp.c_proj.weight": (width, 4 * width),
        f"{block}mlp.c_proj.bias": (width,),
        f"{encoder}decoder.image_proj.proj": (width, embed),
        f"{encoder}decoder.image_proj.ln.weight": (width,),
        f"{encoder}decoder.image_proj.ln.bias": (width,),
        "masker.sim2mask.w": (),
        "masker.sim2mask.b": (),
    }
    for norm in ("ln_1", "ln_2"):
        shapes |= {f"{block}{norm}.weight": (width,), f"{block}{norm}.bias": (width,)}
    for stage in (0, 1):
        for conv in ("conv", "conv2"):
            unit = f"{encoder}decoder.decoder.net.{stage}.{conv}."
            shapes |= {f"{unit}norm.weight": (width,), f"{unit}norm.bias": (width,), f"{unit}gate.gate": ()}
            shapes |= {f"{unit}conv.weight": (width, width, 3, 3), f"{unit}conv.bias": (width,)}
    return {name: draw(name, shape, seed) for name, shape in shapes.items()}


class SyntheticText:
    """The parity files' text tower."""

    name, dimension, weights_sha256 = "synthetic", 64, "0" * 64

    def __init__(self, **options: Any) -> None:
        self.model = clip_model(**options)
        self.tokenizer = open_clip.get_tokenizer("ViT-B-16")
        self.prompts: list[str] = []

    def encode(self, prompts: Sequence[str]) -> np.ndarray[Any, Any]:
        self.prompts += prompts
        with torch.inference_mode():
            return encode_tokens(self.model, self.tokenizer(list(prompts))).numpy()
