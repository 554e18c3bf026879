"""A small language model in this process, asked by likelihood (see `likelihood`)."""

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from contrastive_concepts.config.visibility import TransformersJudge
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.visibility.answers import Answer, Question
from contrastive_concepts.visibility.likelihood import (
    LIKELIHOOD,
    Calibration,
    likelihood_answer,
    load_calibration,
    load_contexts,
)
from contrastive_concepts.visibility.prompts import LIST_TOKENS


class InProcessJudge:
    """Loads the model when the first word is asked; fp32, so that a word's score does not depend on its neighbours."""

    def __init__(self, settings: TransformersJudge) -> None:
        self._settings = settings
        self._gguf = _packaged_gguf(settings.model)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__dict__.pop("_loaded", None)

    @cached_property
    def author(self) -> tuple[str, str, str]:
        """Backend, model and revision (a hash of the packaged file), as they are kept with the answers."""
        revision = ""
        if self._gguf:
            with self._gguf.open("rb") as file:
                revision = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        return "transformers", self._settings.model, revision

    @property
    def question(self) -> Question:
        """What the answers depend on besides the word."""
        return Question(*self.author, self._calibration.sha256, LIKELIHOOD)

    def ask(self, words: Sequence[str]) -> Iterator[list[Answer]]:
        """Answers in batches; `answer` is the log-odds."""
        for batch, rows in self.log_likelihoods(words):
            yield [likelihood_answer(word, row, self._calibration) for word, row in zip(batch, rows, strict=True)]

    def log_likelihoods(self, words: Sequence[str]) -> Iterator[tuple[list[str], list[list[float]]]]:
        """Batches of words, and for each word the mean log-probability of its tokens after each context, in nats."""
        for batch in self._batches(words):
            tokens = [self._tokens(word) for word in batch]
            columns = [self._log_likelihood(context, tokens) for context in load_contexts()]
            yield batch, [list(row) for row in zip(*columns, strict=True)]

    def write(self, prompts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """The model's greedy answer to the instruction under each key, in its own chat template."""
        import torch

        model, tokenizer = self._loaded
        for key, prompt in prompts.items():
            messages = [{"role": "user", "content": prompt}]
            inputs = tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
            with torch.no_grad():
                output = model.generate(**inputs.to(model.device), max_new_tokens=LIST_TOKENS, do_sample=False)
            yield key, str(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))

    def save(self, folder: Path) -> None:
        """Write the model as a folder of weights and tokeniser that a server can load."""
        model, tokenizer = self._loaded
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    def _batches(self, words: Sequence[str]) -> Iterator[list[str]]:
        """Words of equal length in tokens together: no padding, so a batch cannot change a score."""
        by_length: dict[int, list[str]] = {}
        for word in words:
            by_length.setdefault(len(self._tokens(word)), []).append(word)
        for _, group in sorted(by_length.items()):
            for start in range(0, len(group), self._settings.batch_size):
                yield group[start : start + self._settings.batch_size]

    def _log_likelihood(self, context: str, tokens: list[list[int]]) -> list[float]:
        """Mean log-probability of each word's tokens after the context, whose own pass is made once."""
        import torch

        model, _ = self._loaded
        first, cache = self._context(context)
        ids = torch.tensor(tokens, device=model.device)
        with torch.no_grad():
            logits = first.expand(len(tokens), 1, -1)
            if ids.shape[1] > 1:
                past = copy.deepcopy(cache)
                past.batch_repeat_interleave(len(tokens))
                later = model(ids[:, :-1], past_key_values=past, use_cache=True).logits
                logits = torch.cat([logits, later], dim=1)
            chosen = torch.log_softmax(logits.float(), dim=-1).gather(-1, ids.unsqueeze(-1))
        means: list[float] = chosen.squeeze(-1).mean(dim=1).tolist()
        return means

    def _context(self, context: str) -> tuple[Any, Any]:
        import torch

        if context not in self._contexts:
            model, tokenizer = self._loaded
            with torch.no_grad():
                output = model(tokenizer(context, return_tensors="pt").input_ids.to(model.device), use_cache=True)
            self._contexts[context] = output.logits[:, -1:], output.past_key_values
        return self._contexts[context]

    def _tokens(self, word: str) -> list[int]:
        _, tokenizer = self._loaded
        ids: list[int] = tokenizer(f" {word}", add_special_tokens=False).input_ids
        return ids

    @cached_property
    def _calibration(self) -> Calibration:
        return load_calibration(self._settings.model, self._settings.calibration)

    @cached_property
    def _contexts(self) -> dict[str, tuple[Any, Any]]:
        return {}

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        where: dict[str, Any] = {"pretrained_model_name_or_path": self._settings.model}
        options: dict[str, Any] = {}
        if self._gguf:
            where = {"pretrained_model_name_or_path": str(self._gguf.parent), "gguf_file": self._gguf.name}
            options = {"quantization_config": GgufConfig(dequantize=True)}
        try:
            tokenizer = AutoTokenizer.from_pretrained(**where)
            model: Any = AutoModelForCausalLM.from_pretrained(**where, **options, dtype=torch.float32)
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            raise UserError(
                f"config: visibility.model: {self._settings.model!r} cannot be loaded ({one_line(error)})"
            ) from None
        return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer


def _packaged_gguf(model: str) -> Path | None:
    """The GGUF file of `package:NAME`, found without importing the package. Raises UserError where there is none."""
    if not model.startswith("package:"):
        return None
    package = model.removeprefix("package:")
    spec = find_spec(package)
    files = (
        [file for folder in (spec.submodule_search_locations or []) for file in Path(folder).glob("*.gguf")]
        if spec
        else []
    )
    if len(files) != 1:
        raise UserError(f"config: visibility.model: package {package!r} holds {len(files)} GGUF files, expected one")
    return files[0]
