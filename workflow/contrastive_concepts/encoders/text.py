"""Text encoders behind one interface: CLIP's text tower through open_clip, or a sentence encoder, each with torch."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from contrastive_concepts.config.similarity import PACKAGE, OpenClipModel, SentenceModel, sentence_model_folder
from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.encoders.clip import HUB, LOCAL, load_clip
from contrastive_concepts.errors import UserError, one_line

if TYPE_CHECKING:
    import torch


class TextEncoder(Protocol):
    """Encodes prompts as vectors."""

    name: str
    dimension: int
    weights_sha256: str

    def encode(self, prompts: Sequence[str]) -> Embeddings:
        """float32 [n, dimension], not normalised."""


class OpenClipText:
    """CLIP's text tower. Raises UserError for an unknown model, unreadable weights or the wrong activation."""

    def __init__(self, settings: OpenClipModel, key: str = "similarity") -> None:
        device = _device(settings.device)
        loaded = load_clip(key, settings.model, settings.pretrained, device, settings.model_config_file)
        self._take(encoder_name(settings), *loaded, device, settings.batch_size)

    @classmethod
    def of_model(cls, model: Any, tokenizer: Any, name: str, device: "str | torch.device" = "cpu") -> "OpenClipText":
        """The text tower of a model that `load_clip` loaded on `device`."""
        encoder = cls.__new__(cls)
        encoder._take(name, model, tokenizer, _device(str(device)), 256)
        return encoder

    def _take(self, name: str, model: Any, tokenizer: Any, device: "torch.device", batch_size: int) -> None:
        self.name, self.model, self.tokenizer = name, model, tokenizer
        self.word_tokenizer = getattr(getattr(tokenizer, "tokenizer", None), "backend_tokenizer", None)
        self._device, self._batch_size = device, batch_size
        self.weights_sha256 = weights_sha256(model)
        self.dimension = int(self.encode(["a"]).shape[1])

    def encode(self, prompts: Sequence[str]) -> Embeddings:
        import torch

        from contrastive_concepts.encoders.text_tower import encode_tokens

        with torch.inference_mode():
            batches = [
                encode_tokens(self.model, self.tokenizer(list(batch)).to(self._device)).float().cpu().numpy()
                for batch in _batches(prompts, self._batch_size)
            ]
        return np.concatenate(batches)


class SentenceText:
    """A sentence encoder. Raises UserError if it cannot be loaded."""

    def __init__(self, settings: SentenceModel, key: str = "similarity") -> None:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self.name = encoder_name(settings)
        self._batch_size = settings.batch_size
        try:
            self.model = SentenceTransformer(model_folder(settings.model, key), device=str(_device(settings.device)))
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"config: {key}.model: {settings.model!r} cannot be loaded ({one_line(error)})") from None
        self.word_tokenizer = getattr(self.model.tokenizer, "backend_tokenizer", None)
        self.weights_sha256 = weights_sha256(self.model)
        self.dimension = int(self.encode(["a"]).shape[1])

    def encode(self, prompts: Sequence[str]) -> Embeddings:
        vectors = self.model.encode(
            list(prompts),
            batch_size=self._batch_size,
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=False,
        )
        return np.asarray(vectors, np.float32)


def load_encoder(settings: OpenClipModel | SentenceModel, key: str = "similarity") -> TextEncoder:
    """The encoder that the settings name, in its own library.

    Raises UserError with the config's `key` if it or its library is missing.
    """
    try:
        return OpenClipText(settings, key) if isinstance(settings, OpenClipModel) else SentenceText(settings, key)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed, expected it for the text encoder: install contrastive-concepts[clip]"
        ) from None


def encoder_name(settings: OpenClipModel | SentenceModel) -> str:
    """The encoder's name in descriptions and answers: library, model, and the weights of a CLIP."""
    if isinstance(settings, OpenClipModel):
        return f"open_clip:{settings.model}:{_weights_name(settings.model, settings.pretrained)}"
    return f"sentence_transformers:{settings.model}"


def weights_sha256(model: "torch.nn.Module") -> str:
    """Hash of all tensors of a model and their names. It does not depend on the file format."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def model_folder(model: str, key: str = "similarity") -> str:
    """The folder of a sentence encoder in a package; any other name unchanged. Raises UserError with the config's `key`
    if the package is not installed or does not hold exactly one."""
    if not model.startswith(PACKAGE):
        return model
    package, installed = model.removeprefix(PACKAGE), sentence_model_folder(model)
    if installed is None:
        raise UserError(f"config: {key}.model: package {package!r} is not installed")
    folders = [path.parent for path in installed.rglob("modules.json")]
    if len(folders) != 1:
        raise UserError(
            f"config: {key}.model: package {package!r} holds {len(folders)} sentence encoders, expected one"
        )
    return str(folders[0])


def _weights_name(model: str, pretrained: str | None) -> str:
    if pretrained is None or model.startswith((LOCAL, HUB)):
        return "its own weights"
    return Path(pretrained).name if Path(pretrained).exists() else pretrained


def _device(device: str) -> "torch.device":
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else torch.device(device)


def _batches(prompts: Sequence[str], size: int) -> list[Sequence[str]]:
    return [prompts[start : start + size] for start in range(0, len(prompts), size)]
