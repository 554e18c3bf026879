"""Exports a text encoder as the two files that `carried` reads, with torch's ONNX exporter."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from contrastive_concepts.config.similarity import Cleaning
from contrastive_concepts.encoders.carried import MODEL, TOKENIZER
from contrastive_concepts.encoders.text import OpenClipText, SentenceText, TextEncoder
from contrastive_concepts.encoders.text_tower import encode_positions, reads_end_token
from contrastive_concepts.errors import UserError, one_line

OPEN_CLIP_CLEANING: dict[str, Cleaning] = {
    "_clean_whitespace": "whitespace",
    "_clean_lower": "lower",
    "_clean_canonicalize": "canonicalize",
}


def carry(encoder: TextEncoder, folder: Path) -> Cleaning:
    """Write MODEL and TOKENIZER to `folder`, in float32. Returns how `CarriedText` cleans a text for the tokenizer.

    Raises UserError for an encoder whose tokenizer has no `tokenizers` counterpart, or that ONNX cannot express.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tower, tokenizer, cleaning = _clip(encoder) if isinstance(encoder, OpenClipText) else _sentence(encoder)
    names = ["input_ids"] if isinstance(encoder, OpenClipText) else ["input_ids", "attention_mask"]
    tokenizer.save(str(folder / TOKENIZER))
    encodings = tokenizer.encode_batch(["a photo of a boat", "dog"])
    example = {
        "input_ids": torch.tensor([each.ids for each in encodings]),
        "attention_mask": torch.tensor([each.attention_mask for each in encodings]),
    }
    longest = tokenizer.truncation["max_length"]
    shape: dict[int, Any] = {0: torch.export.Dim("texts")}
    if tokenizer.padding["length"] is None:
        shape[1] = torch.export.Dim("tokens", max=longest)
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    try:
        with torch.inference_mode(), _quiet():
            program = torch.onnx.export(
                tower.to("cpu").eval(),
                tuple(example[name] for name in names),
                input_names=names,
                output_names=["vectors"],
                dynamic_shapes=tuple(shape for _ in names),
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            # The exporter notes where in the code each operation comes from, with the paths of this machine.
            ClearMetadataAndDocStringPass()(program.model)
            program.save(folder / MODEL)
    except Exception as error:  # torch raises exceptions of many types
        raise UserError(
            f"config: similarity.carry_encoder: {encoder.name} cannot be exported ({one_line(error)}): set it to false"
        ) from None
    return cleaning


class _ClipTower(nn.Module):
    """CLIP's text tower on as many positions as it is given, if its vector is read at the end token."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor) -> Tensor:
        if reads_end_token(self.model):
            return encode_positions(self.model, input_ids).float()
        return self.model.encode_text(input_ids).float()  # type: ignore[no-any-return]


class _SentenceTower(nn.Module):
    """All modules of a sentence encoder: the transformer, the pooling, and what follows."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        return self.model(features)["sentence_embedding"].float()  # type: ignore[no-any-return]


def _clip(encoder: OpenClipText) -> tuple[nn.Module, Any, Cleaning]:
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    given = encoder.tokenizer
    cleaning = OPEN_CLIP_CLEANING.get(given.clean_fn.__name__)
    plain = isinstance(given, SimpleTokenizer) and given.reduction_fn is None
    fast = (
        isinstance(given, HFTokenizer)
        and not given.tokenizer_mode
        and not given.strip_sep_token
        and hasattr(given.tokenizer, "backend_tokenizer")
    )
    if cleaning is None or not (plain or fast):
        raise UserError(
            f"config: similarity.carry_encoder: the tokenizer of {encoder.name} has no counterpart without torch "
            f"({type(given).__name__}): set it to false"
        )
    tokenizer = _byte_pairs(given) if plain else _copy(given.tokenizer.backend_tokenizer)
    padding = (
        {"pad_id": 0} if plain else {"pad_id": given.tokenizer.pad_token_id, "pad_token": given.tokenizer.pad_token}
    )
    tokenizer.enable_truncation(given.context_length)
    tokenizer.enable_padding(length=None if reads_end_token(encoder.model) else given.context_length, **padding)
    return _ClipTower(encoder.model), tokenizer, cleaning


def _sentence(encoder: TextEncoder) -> tuple[nn.Module, Any, Cleaning]:
    assert isinstance(encoder, SentenceText)
    given = encoder.model.tokenizer
    if not hasattr(given, "backend_tokenizer"):
        raise UserError(
            f"config: similarity.carry_encoder: the tokenizer of {encoder.name} has no counterpart without torch "
            f"({type(given).__name__}): set it to false"
        )
    tokenizer = _copy(given.backend_tokenizer)
    tokenizer.enable_truncation(encoder.model.max_seq_length)
    tokenizer.enable_padding(pad_id=given.pad_token_id, pad_token=given.pad_token)
    return _SentenceTower(encoder.model), tokenizer, "strip"


def _copy(tokenizer: Any) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(tokenizer.to_str())


def _byte_pairs(given: Any) -> Any:
    """CLIP's own tokenizer as one of `tokenizers`. Cleaning comes before it."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    start, end = (given.decoder[number] for number in (given.sot_token_id, given.eot_token_id))
    merges = sorted(given.bpe_ranks, key=given.bpe_ranks.__getitem__)
    tokenizer = Tokenizer(models.BPE(given.encoder, merges, unk_token=end, end_of_word_suffix="</w>"))
    tokenizer.add_special_tokens([start, end])
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, given.sot_token_id), (end, given.eot_token_id)]
    )
    return tokenizer


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of its progress and of what it will change in later versions."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
