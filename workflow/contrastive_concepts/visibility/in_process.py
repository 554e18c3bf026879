"""A language model in this process: likelihood for small models, the paper's prompt for others (paper 6.3.2)."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from contrastive_concepts.config.visibility import TransformersJudge
from contrastive_concepts.visibility.answers import Answer, AnswerKey
from contrastive_concepts.visibility.likelihood import (
    LIKELIHOOD,
    Calibration,
    likelihood_answer,
    load_calibration,
    load_contexts,
)
from contrastive_concepts.visibility.local_model import gguf_file, load_model, revision_of
from contrastive_concepts.visibility.prompts import LIST_TOKENS, load_prompt
from contrastive_concepts.visibility.yes_no import NEITHER, names_of


class InProcessJudge:
    """Loads the model at the first word. In fp32, the score of a word does not depend on the others in its batch."""

    def __init__(self, settings: TransformersJudge) -> None:
        self._settings = settings
        gguf_file(settings.model)
        self.tokens = 0
        """Number of tokens that the model has read so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__dict__.pop("_loaded", None)

    @cached_property
    def identity(self) -> tuple[str, str, str]:
        """Backend, model and revision (a hash for a GGUF file), as stored with the answers."""
        return "transformers", self._settings.model, revision_of(self._settings)

    @property
    def answer_key(self) -> AnswerKey:
        """Everything that the answers depend on, except the word."""
        weights = ", ".join(
            value
            for value, usual in ((self._settings.quantization, "none"), (self._settings.dtype, "float32"))
            if value != usual
        )
        parameters = LIKELIHOOD if self._settings.form == "likelihood" else '{"form": "yes_no"}'
        if weights:
            parameters = json.dumps(json.loads(parameters) | {"weights": weights}, sort_keys=True)
        prompt = self._calibration if self._settings.form == "likelihood" else load_prompt("prompts/visible.txt")
        return AnswerKey(*self.identity, prompt.sha256, parameters, weights)

    def ask(self, words: Sequence[str]) -> Iterator[list[Answer]]:
        """Answers in batches. `answer` is the log-odds in likelihood mode, else the likelier of yes and no."""
        if self._settings.form == "yes_no":
            yield from self._ask_yes_no(words)
            return
        for batch, rows in self.log_likelihoods(words):
            yield [likelihood_answer(word, row, self._calibration) for word, row in zip(batch, rows, strict=True)]

    def _ask_yes_no(self, words: Sequence[str]) -> Iterator[list[Answer]]:
        """P(yes) / (P(yes) + P(no)) of the first token after the paper's prompt, read from the logits."""
        import torch

        model, tokenizer = self._loaded
        ids = {
            said: torch.tensor(found, device=model.device) for said, found in names_of(tokenizer.get_vocab()).items()
        }
        prompt = load_prompt("prompts/visible.txt")
        for batch in self._batches(words, lambda word: self._instruction(prompt.fill(word))):
            inputs = torch.tensor([self._instruction(prompt.fill(word)) for word in batch], device=model.device)
            with torch.no_grad():
                logits = model(inputs, logits_to_keep=1).logits[:, -1].float()
            self.tokens += inputs.numel()
            mass = {said: torch.logsumexp(logits[:, found], dim=1) for said, found in ids.items()}
            shares = torch.sigmoid(mass["yes"] - mass["no"]).tolist()
            likeliest = logits.argmax(dim=1).tolist()
            said_either = {int(number) for found in ids.values() for number in found}
            yield [
                Answer(word, p, "yes" if p >= 0.5 else "no", True, "" if first in said_either else NEITHER)
                for word, p, first in zip(batch, shares, likeliest, strict=True)
            ]

    def _instruction(self, text: str) -> list[int]:
        """The tokens of an instruction in the tokeniser's chat template, or in Mixtral's raw one if it has none."""
        _, tokenizer = self._loaded
        if tokenizer.chat_template is None:
            ids: list[int] = tokenizer(load_prompt("prompts/mixtral_template.txt").fill(text)).input_ids
            return ids
        messages = [{"role": "user", "content": text}]
        found: list[int] = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True
        ).input_ids
        return found

    def log_likelihoods(self, words: Sequence[str]) -> Iterator[tuple[list[str], list[list[float]]]]:
        """Batches of words, and for each word the mean log-probability of its tokens after each context, in nats."""
        for batch in self._batches(words, self._tokens):
            tokens = [self._tokens(word) for word in batch]
            columns = [self._log_likelihood(context, tokens) for context in load_contexts()]
            yield batch, [list(row) for row in zip(*columns, strict=True)]

    def write(self, prompts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Pairs of key and answer to its prompt, by greedy decoding in the model's chat template."""
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
        """Write weights and tokeniser to a folder that a server can load."""
        model, tokenizer = self._loaded
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    def _batches(self, words: Sequence[str], tokens: Callable[[str], list[int]]) -> Iterator[list[str]]:
        """Batches of words with the same number of tokens. No padding is needed, so a batch cannot change a score."""
        by_length: dict[int, list[str]] = {}
        for word in words:
            by_length.setdefault(len(tokens(word)), []).append(word)
        for _, group in sorted(by_length.items()):
            for start in range(0, len(group), self._settings.batch_size):
                yield group[start : start + self._settings.batch_size]

    def _log_likelihood(self, context: str, tokens: list[list[int]]) -> list[float]:
        """Mean log-probability of each word's tokens after the context. The context is encoded once."""
        import torch

        model, _ = self._loaded
        first, cache = self._context(context)
        ids = torch.tensor(tokens, device=model.device)
        self.tokens += ids.numel()
        with torch.no_grad():
            logits = first.expand(len(tokens), 1, -1)
            if ids.shape[1] > 1:
                past = copy.deepcopy(cache)
                past.batch_repeat_interleave(len(tokens))
                later = model(ids[:, :-1], past_key_values=past, use_cache=True).logits
                logits = torch.cat([logits, later], dim=1)
            of_tokens = torch.log_softmax(logits.float(), dim=-1).gather(-1, ids.unsqueeze(-1))
        means: list[float] = of_tokens.squeeze(-1).mean(dim=1).tolist()
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
        return load_model(self._settings)
