"""A text encoder as two files, an ONNX model and its tokenizer. It runs without torch."""

import html
import os
import shutil
import string
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from contrastive_concepts.config.similarity import ENCODER_FILES, Cleaning, Precision
from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.errors import UserError, one_line

MODEL, TOKENIZER = ENCODER_FILES
BATCH = 32
AT_ONCE = 1 << 15
"""Prompts that are tokenised at once, and then put into batches."""
PADDING = ("direction", "pad_id", "pad_type_id", "pad_token")
SAME = 0.9999
"""Cosine from which an exported encoder counts as the same."""


class CarriedText:
    """Encodes prompts with the files MODEL and TOKENIZER of `folder`. Raises UserError if they cannot be read.

    name, weights_sha256: those of the encoder that the files were exported from.
    """

    def __init__(self, folder: Path, name: str, weights_sha256: str, cleaning: Cleaning) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self.name, self.weights_sha256, self.cleaning = name, weights_sha256, cleaning
        self._folder, self._clean = folder, CLEANINGS[cleaning]
        options = onnxruntime.SessionOptions()
        # Small batches side by side take two thirds of the time of large ones that have all cores in turn.
        options.intra_op_num_threads = 1
        asked = os.environ.get("OMP_NUM_THREADS", "")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self._threads = (int(asked) if asked.isdecimal() else cores) or 1
        options.log_severity_level = 3
        try:
            self.word_tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
            self._session = onnxruntime.InferenceSession(folder / MODEL, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # Both libraries raise exceptions of many types.
            raise UserError(f"{folder}: the text encoder cannot be loaded ({one_line(error)})") from None
        # Batches are padded when it is known what is in them.
        self._padding: dict[str, Any] = self.word_tokenizer.padding or {}
        self.word_tokenizer.no_padding()
        self._inputs = [each.name for each in self._session.get_inputs()]
        self.dimension = int(self._session.get_outputs()[0].shape[1])

    def encode(self, prompts: Sequence[str]) -> Embeddings:
        """float32 [n, dimension], not normalised."""
        vectors = np.empty((len(prompts), self.dimension), np.float32)
        with ThreadPoolExecutor(self._threads) as pool:
            for start in range(0, len(prompts), AT_ONCE):
                cleaned = [self._clean(prompt) for prompt in prompts[start : start + AT_ONCE]]
                encodings = self.word_tokenizer.encode_batch(cleaned)
                # Prompts of as many tokens together, because a batch is padded to its longest.
                order = np.argsort([len(encoding) for encoding in encodings], kind="stable")
                batches = [order[first : first + BATCH] for first in range(0, len(order), BATCH)]
                encoded = pool.map(self._encode, ([encodings[row] for row in rows] for rows in batches))
                for rows, found in zip(batches, encoded, strict=True):
                    vectors[start + rows] = found
        return vectors

    def copy_to(self, folder: Path) -> None:
        """Write its two files to another folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ENCODER_FILES:
            shutil.copyfile(self._folder / name, folder / name)

    def _encode(self, encodings: Sequence[Any]) -> Embeddings:
        """Encodings of the library `tokenizers`, not padded."""
        length = self._padding.get("length") or max(map(len, encodings))
        how = {name: self._padding[name] for name in PADDING if name in self._padding}
        for encoding in encodings:
            encoding.pad(length, **how)
        tokens: dict[str, Any] = {
            "input_ids": [encoding.ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
        }
        given = {name: np.asarray(tokens[name], np.int64) for name in self._inputs}
        return np.asarray(self._session.run(None, given)[0], np.float32)


def compress(path: Path, precision: Precision) -> None:
    """Write the weights of a MODEL in another precision: in float16 it has half the size, in int8 a quarter."""
    if precision == "float16":
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16

        onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)
    elif precision == "int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(path, path, weight_type=QuantType.QInt8)


def _basic(text: str) -> str:
    if text.isascii() and text.isprintable() and "&" not in text:
        return text  # Nothing in it can be damaged or escaped.
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
