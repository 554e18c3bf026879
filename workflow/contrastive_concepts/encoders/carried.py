"""A text encoder as two files, an ONNX model and its tokenizer. It runs without torch."""

import html
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contrastive_concepts.config.similarity import ENCODER_FILES, Cleaning
from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.errors import UserError, one_line

MODEL, TOKENIZER = ENCODER_FILES
BATCH = 256


class CarriedText:
    """Encodes prompts with the files MODEL and TOKENIZER of `folder`. Raises UserError if they cannot be read.

    name, weights_sha256: those of the encoder that the files were exported from.
    """

    def __init__(self, folder: Path, name: str, weights_sha256: str, cleaning: Cleaning) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self.name, self.weights_sha256 = name, weights_sha256
        self._clean = CLEANINGS[cleaning]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self.word_tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
            self._session = onnxruntime.InferenceSession(folder / MODEL, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # Both libraries raise exceptions of many types.
            raise UserError(f"{folder}: the text encoder cannot be loaded ({one_line(error)})") from None
        self._inputs = [each.name for each in self._session.get_inputs()]
        self.dimension = int(self._session.get_outputs()[0].shape[1])

    def encode(self, prompts: Sequence[str]) -> Embeddings:
        """float32 [n, dimension], not normalised."""
        starts = range(0, len(prompts), BATCH)
        return np.concatenate([self._encode(prompts[start : start + BATCH]) for start in starts])

    def _encode(self, prompts: Sequence[str]) -> Embeddings:
        encodings = self.word_tokenizer.encode_batch([self._clean(prompt) for prompt in prompts])
        tokens: dict[str, Any] = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
        }
        given = {name: np.asarray(tokens[name], np.int64) for name in self._inputs}
        return np.asarray(self._session.run(None, given)[0], np.float32)


def _basic(text: str) -> str:
    import ftfy

    return html.unescape(html.unescape(ftfy.fix_text(text)))


def _whitespace(text: str) -> str:
    return " ".join(_basic(text).split())


def _lower(text: str) -> str:
    return _whitespace(text).lower()


def _canonicalize(text: str) -> str:
    plain = _basic(text).replace("_", " ").translate(str.maketrans("", "", string.punctuation))
    return " ".join(plain.lower().split())


CLEANINGS: dict[Cleaning, Callable[[str], str]] = {
    "strip": str.strip,
    "whitespace": _whitespace,
    "lower": _lower,
    "canonicalize": _canonicalize,
}
