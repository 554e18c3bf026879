"""Loads a language model into this process: a GGUF file, a folder or a hub name; optionally in 4 bits.

transformers takes half a minute to read the GGUF file of a small model. So its weights, no longer quantised, are
written to the user's cache once.
"""

import hashlib
import os
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contrastive_concepts.config.visibility import TransformersJudge
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.resources import made_whole, user_cache
from contrastive_concepts.visibility.server_log import hint_for

if TYPE_CHECKING:
    import torch

SMALL_GGUF_BYTES = 150_000_000
"""Largest GGUF file whose weights are written to the user's cache, where they take up to eight times as much."""
EXPERTS_DIMENSIONS = 3
"""The experts of a mixture-of-experts layer are one parameter of three dimensions: [experts, outputs, inputs]."""


def load_model(settings: TransformersJudge) -> tuple[Any, Any]:
    """Model and tokeniser, on the GPU if there is one. Raises UserError if they cannot be loaded."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    gguf = gguf_file(settings.model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if gguf:
            model, tokenizer = _load_gguf(gguf, settings.dtype)
        else:
            where = {"revision": settings.revision} if settings.revision else {}
            model, tokenizer = _load(os.path.expanduser(settings.model), settings.dtype, **where)
        if settings.quantization == "nf4":
            to_nf4(model, torch.device(device))
        model = model.to(device)
    except UserError:
        raise
    except Exception as error:  # A damaged file raises errors of many types.
        hint = hint_for(str(error))
        raise UserError(
            f"config: visibility.model: {settings.model!r} cannot be loaded ({one_line(error)})"
            f"{f'; {hint}' if hint else ''}"
        ) from None
    return model.eval(), tokenizer


def _load(name: str | Path, dtype: str, **where: Any) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(name, **where)
    options = {"quantization_config": GgufConfig(dequantize=True)} if "gguf_file" in where else {}
    return AutoModelForCausalLM.from_pretrained(name, **where, **options, dtype=dtype), tokenizer


def _load_gguf(file: Path, dtype: str) -> tuple[Any, Any]:
    """Model and tokeniser of a GGUF file. A small one is read from its copy in the user's cache, which is made once."""
    import torch
    from safetensors import SafetensorError

    if file.stat().st_size > SMALL_GGUF_BYTES:
        return _load(file.parent, dtype, gguf_file=file.name)
    # The user may have no home, no copy yet, or a damaged one.
    with suppress(OSError, ValueError, RuntimeError, SafetensorError):
        copy = user_cache("models") / _name_of_copy(file)
        if copy.is_dir():
            return _load(copy, dtype)
    model, tokenizer = _load(file.parent, "float32", gguf_file=file.name)
    # The cache may not be writable, or the disk full.
    with (
        suppress(OSError, RuntimeError, SafetensorError),
        made_whole(user_cache("models") / _name_of_copy(file)) as made,
    ):
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
    return model.to(getattr(torch, dtype)), tokenizer


def _name_of_copy(file: Path) -> str:
    """A hash of the file, of this module, and of the versions of the libraries that read it."""
    versions = [metadata.version(name) for name in ("gguf", "transformers")]
    return hashlib.sha256(f"{_file_sha256(file)} {_file_sha256(Path(__file__))} {versions}".encode()).hexdigest()[:16]


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_nf4(model: "torch.nn.Module", device: "torch.device") -> None:
    """Quantise the model's weights to bitsandbytes' NF4 and move it to `device`, module by module (paper 6.3).

    Applies to linear layers and fused experts, not to embeddings, the output layer, norms and routers. Transformers 5
    alone does not quantise the experts, which are 96 % of Mixtral. Raises UserError if bitsandbytes is missing.
    """
    import torch

    try:
        from bitsandbytes.nn.modules import Linear4bit, Params4bit
        from bitsandbytes.nn.parametrize import replace_parameter_4bit
    except ImportError as error:
        raise UserError(
            f"config: visibility.quantization: nf4 needs bitsandbytes ({one_line(error)}): `uv sync --extra llm`"
        ) from None
    head = model.get_output_embeddings()  # type: ignore[operator]
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if not isinstance(layer, torch.nn.Linear) or layer is head:
                continue
            rounded = Linear4bit(  # type: ignore[no-untyped-call]
                layer.in_features,
                layer.out_features,
                layer.bias is not None,
                compute_dtype=layer.weight.dtype,
                quant_type="nf4",
                device="meta",
            )
            rounded.weight = Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
            rounded.bias = layer.bias
            setattr(module, name, rounded.to(device))
        experts = [name for name, value in module.named_parameters(recurse=False) if value.dim() == EXPERTS_DIMENSIONS]
        for name in experts:
            value = getattr(module, name)
            value.data = value.data.to(device)
            replace_parameter_4bit(module, name, quant_type="nf4")


def revision_of(settings: TransformersJudge) -> str:
    """An identifier of the weights: the first 16 digits of a GGUF file's SHA-256, or the settings' revision."""
    gguf = gguf_file(settings.model)
    if gguf is None:
        return settings.revision
    return _file_sha256(gguf)[:16]


def gguf_file(model: str) -> Path | None:
    """The GGUF file that `model` names, or None for a name on the hub or a folder in the hub's own format.

    It is a path, or the one file in a folder, or in the package of `package:NAME`, which is not imported. Raises
    UserError if there is none, or more than one in a folder.
    """
    path = Path(os.path.expanduser(model))
    if model.startswith("package:"):
        spec = find_spec(model.removeprefix("package:"))
        folders = list(map(Path, spec.submodule_search_locations or [])) if spec else []
    elif path.suffix.lower() == ".gguf" and not path.is_dir():
        if not path.is_file():
            raise UserError(f"config: visibility.model: {model!r} is no file, expected a GGUF file")
        return path
    elif path.is_dir() and not (path / "config.json").exists() and any(path.glob("*.gguf")):
        folders = [path]
    else:
        return None
    files = [file for folder in folders for file in folder.glob("*.gguf")]
    if len(files) != 1:
        also = "" if model.startswith("package:") else ", or the model's config.json"
        raise UserError(f"config: visibility.model: {model!r} holds {len(files)} GGUF files, expected one{also}")
    return files[0]
