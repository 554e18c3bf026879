"""A CLIP model by open_clip's names, a folder, or the toy world's; loaded once, refused in one line."""

import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from contrastive_concepts.errors import UserError, one_line

if TYPE_CHECKING:
    import torch

TOY = "toyworld-clip"
LOCAL = "local-dir:"


def load_clip(
    key: str, model: str, pretrained: str | None, device: "str | torch.device", config_file: str | None = None
) -> tuple[Any, Any]:
    """The model (fp32, eval mode) and its tokenizer.

    model: a name that open_clip lists, `local-dir:FOLDER`, or `toyworld-clip`; config_file: JSON of an architecture
    that open_clip does not list. Raises UserError, with `key` of the config in it, for an unknown model, unreadable
    weights, or weights of another activation (QuickGELU)."""
    import open_clip

    if config_file:
        open_clip.add_model_config(Path(config_file))
    if model == TOY and pretrained is None:
        from contrastive_concepts.toyworld.clip import load_toy_clip

        toy, tokenizer = load_toy_clip()
        return toy.to(device), tokenizer
    if not model.startswith(LOCAL) and model not in open_clip.list_models():
        raise UserError(f"config: {key}.model: found {model!r}, expected a model that open_clip lists")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="QuickGELU mismatch")
            loaded = open_clip.create_model(model, pretrained=pretrained, device=device)
    except UserWarning as warning:
        raise UserError(f"config: {key}.model: {model!r} does not fit {pretrained!r}: {warning}") from None
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, UnpicklingError) as error:
        raise UserError(
            f"config: {key}.pretrained: {pretrained!r} cannot be loaded into {model!r} ({one_line(error)})"
        ) from None
    return loaded.eval(), open_clip.get_tokenizer(model)
