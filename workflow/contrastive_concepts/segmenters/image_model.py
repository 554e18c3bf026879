"""A second frozen image model (DINO and the like) beside CLIP: a timm vision transformer as a map of features."""

import difflib
import io
import re
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from contrastive_concepts.config.evaluation import ImageModelSettings
from contrastive_concepts.encoders.clip import hub_unreachable
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.segmenters.checkpoint import select
from contrastive_concepts.segmenters.tower import normalise_pixels
from contrastive_concepts.tensor_files import read_tensors

KEY = "config: benchmark.segmenters...image_model"
MODULES = ("vision_transformer", "deit", "eva")
"""Modules of timm with plain vision transformers: DINO, DINOv2, MAE; DeiT; DINOv3, EVA."""
UNUSED = r"\w*head\w*\.|attn_pool\.|fc_norm\.|pre_logits\.|decoder_|mask_token$"
"""Regular expression of tensors that features do not depend on: heads, pooling, and what is used in training only."""
FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of the weights in a repository of the hub, the first that is there."""


class ImageModel:
    """A timm vision transformer, frozen and in eval mode, as a function from images to maps of features.

    width: of the features. patch: height and width of a patch in pixels. Raises UserError for any other model, and for
    one that accepts images of one size only."""

    def __init__(self, model: Any) -> None:
        """model: from `timm.create_model`, with dynamic_img_size=True."""
        if not _is_readable(model):
            raise UserError(
                f"image model: found {type(model).__name__}, expected a vision transformer of timm, created with "
                "dynamic_img_size=True"
            )
        self.model = model.eval().requires_grad_(False)
        self.mean, self.std = (tuple(map(float, model.pretrained_cfg[name])) for name in ("mean", "std"))
        height, width = model.patch_embed.patch_size
        self.patch = (int(height), int(width))
        self.width = int(model.embed_dim)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.patch_embed.proj.weight.device
        return device

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """The patch tokens after the last block and the final norm: [B, 3, H, W] -> [B, width, h, w].

        images: float32 RGB in 0..255, of any size. h and w are H and W divided by the patch, rounded down: the
        remainder of a side is cut off, as CLIP's convolution does, so patches of one size lie where CLIP's lie.
        A side shorter than a patch is filled up with its last pixels. The class token and registers are left out.
        Models that normalise only the mean of their patches have no norm before it, so none is applied. timm resizes
        positions to the grid, bicubically with antialiasing."""
        height, width = (
            max(side // patch, 1) * patch for side, patch in zip(images.shape[-2:], self.patch, strict=True)
        )
        short = (max(width - images.shape[-1], 0), max(height - images.shape[-2], 0))
        images = F.pad(images, (0, short[0], 0, short[1]), mode="replicate")[..., :height, :width]
        pixels = normalise_pixels(images.to(self.device) / 255, self.mean, self.std)
        features: Tensor
        [features] = self.model.forward_intermediates(pixels, indices=1, norm=True, intermediates_only=True)
        return features


def load_image_model(settings: ImageModelSettings, data_dir: str | Path, device: str | torch.device) -> ImageModel:
    """The image model of a configuration. Random weights (pretrained: false) are the same in every run.

    A file has tensors in any wrapper (`tensor_files`), named as timm or the models' authors name them; heads are
    ignored. timm's weights come from the hub's cache if they are there. timm resizes the positions of a file to its
    model's grid. Raises UserError for a model that timm does not list, weights that cannot be had or read, and the
    first key that is missing, unknown or of another shape."""
    import timm

    name = settings.model
    _check_listed(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: Any = timm.create_model(name, num_classes=0, dynamic_img_size=True)
    if isinstance(settings.pretrained, str):
        _load(model, Path(data_dir) / settings.pretrained)
    elif settings.pretrained:
        _load(model, _from_hub(name))
    return ImageModel(model.to(device))


def _is_readable(model: Any) -> bool:
    """Whether it is a vision transformer of timm for images of any size."""
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    return isinstance(model, VisionTransformer | Eva) and bool(model.dynamic_img_size)


def _check_listed(name: str) -> None:
    """Raise UserError for a name that is not one of timm's plain vision transformers, with or without a tag."""
    import timm

    names = {each for module in MODULES for each in timm.list_models(module=module)}
    tagged = {each for module in MODULES for each in timm.list_models(module=module, pretrained=True)}
    if name not in names | tagged:
        close = difflib.get_close_matches(name, sorted(names | tagged), cutoff=0.8)
        perhaps = f", perhaps {' or '.join(close)}" if close else ""
        raise UserError(
            f"{KEY}.model: found {name!r}, expected a vision transformer that timm lists, such as "
            f"vit_base_patch8_224.dino{perhaps}"
        )


def _from_hub(name: str) -> Path:
    """The file of timm's weights, from the hub's cache if it is there. Raises UserError if it cannot be had."""
    import timm
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    found = timm.models.get_pretrained_cfg(name)
    if found is None or not found.hf_hub_id:
        raise UserError(f"{KEY}.model: timm has no weights of {name!r} on the hub, expected a file in pretrained")
    repository, _, revision = found.hf_hub_id.partition("@")

    def file(**options: Any) -> Path | None:
        for each in FILES:
            try:
                return Path(hf_hub_download(repository, each, revision=revision or None, **options))
            except EntryNotFoundError:
                continue
        return None

    if cached := file(local_files_only=True):
        return cached
    if why := hub_unreachable():
        raise UserError(
            f"{KEY}.model: the weights {repository!r} of {name!r} are not in the cache {constants.HF_HUB_CACHE} and "
            f"{why}, expected weights: fetch them where there is a network, or give a file in pretrained"
        )
    try:
        fetched = file()
    except Exception as error:  # the hub's client raises exceptions of many types
        raise UserError(f"{KEY}.model: the weights of {name!r} cannot be fetched ({one_line(error)})") from None
    if fetched is None:
        raise UserError(f"{KEY}.model: found no {' or '.join(FILES)} in {repository!r}, expected weights of {name!r}")
    return fetched


def _load(model: Any, path: Path) -> None:
    """Load the tensors of a file. Raises UserError if it cannot be read or does not fit."""
    state = model.state_dict()
    tensors = read_tensors(path, state, wrapper="teacher")
    weight, expected = tensors.get("patch_embed.proj.weight"), state["patch_embed.proj.weight"]
    if weight is not None and weight.ndim == expected.ndim and weight.shape != expected.shape:
        # timm would resize the patches.
        found, needed = tuple(weight.shape), tuple(expected.shape)
        raise UserError(f"{path}: key 'patch_embed.proj.weight': found shape {found}, expected {needed}")
    try:
        with redirect_stdout(io.StringIO()):  # timm prints a line for each block of the official DINOv3
            renamed = import_module(type(model).__module__).checkpoint_filter_fn(dict(tensors), model)
    except Exception as error:  # timm's renaming expects the official layouts and fails in any way for others
        raise UserError(f"{path}: found no weights of {type(model).__name__} ({one_line(error)})") from None
    used = {name: tuple(tensor.shape) for name, tensor in state.items() if not re.match(UNUSED, name)}
    model.load_state_dict(select(renamed, used, UNUSED, path), strict=False)
