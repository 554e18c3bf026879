"""A CLIP model by open_clip's names, a folder, or the toy world's; loaded once, refused in one line."""

import os
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contrastive_concepts.errors import UserError, one_line

if TYPE_CHECKING:
    import torch

TOY = "toyworld-clip"
LOCAL = "local-dir:"
HUB = "hf-hub:"


def load_clip(
    key: str, model: str, pretrained: str | None, device: "str | torch.device", config_file: str | None = None
) -> tuple[Any, Any]:
    """The model (fp32, eval mode) and its tokenizer.

    model: a name that open_clip lists, `local-dir:FOLDER`, `hf-hub:REPOSITORY`, or `toyworld-clip`; config_file: JSON
    of an architecture that open_clip does not list. Raises UserError, with `key` of the config in it, for an unknown
    model, weights or a tokenizer that cannot be loaded, or weights of another activation (QuickGELU)."""
    import open_clip

    if config_file:
        open_clip.add_model_config(Path(config_file))
    if model == TOY and pretrained is None:
        from contrastive_concepts.toyworld.clip import load_toy_clip

        toy, tokenizer = load_toy_clip()
        return toy.to(device), tokenizer
    if not model.startswith((LOCAL, HUB)) and model not in open_clip.list_models():
        raise UserError(f"config: {key}.model: found {model!r}, expected a model that open_clip lists")
    _refuse_torchscript(key, model, pretrained)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="QuickGELU mismatch")
            loaded = open_clip.create_model(model, pretrained=pretrained, device=device)
            tokenizer = open_clip.get_tokenizer(model)
    except UserWarning as warning:
        raise UserError(f"config: {key}.model: {model!r} does not fit {pretrained!r}: {warning}") from None
    except Exception as error:  # weights and tokenizers come from files and hubs of many kinds, which fail in any way
        what = f"{pretrained!r} cannot be loaded into {model!r}" if pretrained else f"{model!r} cannot be loaded"
        place = "pretrained" if pretrained else "model"
        raise UserError(f"config: {key}.{place}: {what} ({one_line(error)}){_hint(error)}") from None
    return loaded.eval(), tokenizer


def _refuse_torchscript(key: str, model: str, pretrained: str | None) -> None:
    """OpenAI publishes its models as programs; open_clip has their weights under a tag of its own."""
    if pretrained is None or not zipfile.is_zipfile(pretrained):
        return
    with zipfile.ZipFile(pretrained) as archive:
        names = archive.namelist()
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        raise UserError(
            f"config: {key}.pretrained: found the TorchScript archive {pretrained!r}, which is a program, expected "
            f"weights; for OpenAI's own set model: {model.removesuffix('-quickgelu')}, pretrained: openai"
        )


def _hint(error: Exception) -> str:
    """What to do where a hub could not be asked."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if os.environ.get("HF_HUB_OFFLINE", "") in ("1", "true", "True") or "OfflineModeIsEnabled" in kinds:
        return "; HF_HUB_OFFLINE is set, so the files must be in the cache already (HF_HOME)"
    return ""
