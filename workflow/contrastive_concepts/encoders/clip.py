"""Loads a CLIP model by its open_clip name, from a folder, or from the toy world. Errors are one line."""

import socket
import tempfile
import urllib.request
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.resources import resource

if TYPE_CHECKING:
    import torch

CARRIED = {"toyworld-clip": "toyworld/clip"}
"""Models included in the project -> their folders below `resources/`."""
LOCAL = "local-dir:"
HUB = "hf-hub:"
AS_OPEN_CLIP = (".safetensors", ".npz", ".npy")
"""Suffixes of files that open_clip reads with its own code."""


def is_carried(model: str, pretrained: str | None) -> bool:
    """Whether the model and its weights are included in the project."""
    return model in CARRIED and pretrained is None


def load_clip(
    key: str, model: str, pretrained: str | None, device: "str | torch.device", config_file: str | None = None
) -> tuple[Any, Any]:
    """The model (fp32, eval mode) and its tokenizer.

    model: a name that open_clip lists, `local-dir:FOLDER`, `hf-hub:OWNER/NAME` (from the hub's cache if present), or
    one of CARRIED. pretrained: a tag of open_clip or a local file, in any wrapper (`tensor_files`) and also OpenAI's
    TorchScript archives. config_file: JSON of an architecture that open_clip does not list. Raises UserError with the
    config's `key` for an unknown model, unreadable or missing weights, or weights trained with another activation
    (QuickGELU)."""
    import open_clip

    if config_file:
        open_clip.add_model_config(Path(config_file))
    if is_carried(model, pretrained):
        model = f"{LOCAL}{resource(CARRIED[model])}"
    if not model.startswith((LOCAL, HUB)) and model not in open_clip.list_models():
        raise UserError(
            f"config: {key}.model: found {model!r}, expected a model that open_clip lists, local-dir:FOLDER or "
            "hf-hub:OWNER/NAME"
        )
    place = _cached(key, model) if model.startswith(HUB) else model
    file = Path(pretrained) if pretrained and model == place and Path(pretrained).is_file() else None
    if pretrained and file is None and not model.startswith((LOCAL, HUB)):
        _check_tag(key, model, pretrained)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="QuickGELU mismatch")
            loaded = _created(place, pretrained, device) if file is None else _from_file(key, model, file, device)
        return loaded.eval(), _tokenizer(place, model)
    except UserError:
        raise
    except UserWarning as warning:
        raise UserError(f"config: {key}.model: {model!r} does not fit {pretrained!r}: {warning}") from None
    except Exception as error:  # open_clip, the hub and the tokenizers raise exceptions of many types
        if model.startswith((LOCAL, HUB)):
            raise UserError(f"config: {key}.model: {model!r} cannot be loaded ({one_line(error)})") from None
        raise UserError(
            f"config: {key}.pretrained: {pretrained!r} cannot be loaded into {model!r} ({one_line(error)})"
        ) from None


def _created(model: str, pretrained: str | None, device: "str | torch.device") -> Any:
    import open_clip

    # Without `require_pretrained`, a folder without weights would give a model with random weights.
    return open_clip.create_model(model, pretrained=pretrained, device=device, require_pretrained=True)


def _from_file(key: str, model: str, file: Path, device: "str | torch.device") -> Any:
    """Load local weights: with open_clip's reader, else by extracting the tensors and saving them as a plain file."""
    import open_clip
    import torch

    from contrastive_concepts.tensor_files import is_torchscript, read_tensors

    program = is_torchscript(file)
    if program and not (open_clip.get_model_config(model) or {}).get("quick_gelu"):
        raise UserError(
            f"config: {key}.pretrained: {str(file)!r} is a TorchScript archive, as OpenAI publishes CLIP, expected "
            f"with a model of its activation: model {model}-quickgelu, and pretrained openai or this file"
        )
    if not program:
        try:
            return _created(model, str(file), device)
        except UserWarning:
            raise
        except Exception as error:
            if file.suffix in AS_OPEN_CLIP:
                raise
            refused = error
    names = open_clip.create_model(model).state_dict().keys()
    try:
        tensors = read_tensors(file, names, "state_dict")
    except UserError as error:
        raise UserError(f"config: {key}.pretrained: {str(file)!r} cannot be loaded into {model!r} ({error})") from None
    if program:
        # A TorchScript program contains constants in addition to its weights.
        tensors = {name: tensor for name, tensor in tensors.items() if name in names}
    elif set(tensors) != set(names):
        raise refused
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.pt"
        torch.save(tensors, plain)
        return _created(model, str(plain), device)


def _tokenizer(place: str, model: str) -> Any:
    import open_clip

    try:
        return open_clip.get_tokenizer(place)
    except Exception:
        if place == model:
            raise
        return open_clip.get_tokenizer(model)  # Its files may be in another repository than the model's.


def _cached(key: str, model: str) -> str:
    """`local-dir:` and the folder of a model in the hub's cache; the unchanged name if it is not cached.

    Raises UserError if it is not cached and the hub cannot be reached."""
    from huggingface_hub import constants, snapshot_download

    name = model.removeprefix(HUB)
    try:
        folder = Path(snapshot_download(name, local_files_only=True))
        if (folder / "open_clip_config.json").is_file() and any(
            path.suffix in (".safetensors", ".bin", ".pth") for path in folder.iterdir()
        ):
            return f"{LOCAL}{folder}"
    except (OSError, ValueError) as error:
        if not isinstance(error, OSError):
            raise UserError(f"config: {key}.model: {model!r} is no name on the hub ({one_line(error)})") from None
    if why := hub_unreachable():
        raise UserError(
            f"config: {key}.model: {model!r} is not in the cache {constants.HF_HUB_CACHE} and {why}, expected a model "
            "with its weights: fetch it where there is a network, or give local-dir:FOLDER"
        )
    return model


def _check_tag(key: str, model: str, tag: str) -> None:
    """Raise UserError at once if the weights of a tag are not in the hub's cache and the hub cannot be reached."""
    import open_clip
    from huggingface_hub import constants, try_to_load_from_cache
    from open_clip.pretrained import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    described = open_clip.get_pretrained_cfg(model, tag) or {}
    repository, _, name = str(described.get("hf_hub") or "").rpartition("/")
    names = [name] if name else [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]
    if not repository or any(isinstance(try_to_load_from_cache(repository, each), str) for each in names):
        return
    if why := hub_unreachable():
        raise UserError(
            f"config: {key}.pretrained: the weights {repository!r} of {tag!r} are not in the cache "
            f"{constants.HF_HUB_CACHE} and {why}, expected weights: fetch them where there is a network, or give a "
            "local file"
        )


def hub_unreachable() -> str:
    """Why the hub cannot be reached; empty if it can be. Its client would retry for minutes."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return "" if resolves(constants.ENDPOINT) else f"{constants.ENDPOINT} cannot be reached"


def resolves(url: str) -> bool:
    """False if the host cannot be resolved, so that no connection is possible."""
    if urllib.request.getproxies():
        return True
    try:
        socket.getaddrinfo(urlsplit(url).hostname, None)
    except OSError:
        return False
    return True
