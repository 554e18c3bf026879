"""A judge behind an OpenAI-compatible server: the paper's prompt, or likelihood for small models."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

from contrastive_concepts.config.visibility import Endpoint, OpenAIJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.answers import Answer, Question
from contrastive_concepts.visibility.client import Client, Json
from contrastive_concepts.visibility.likelihood import (
    LIKELIHOOD,
    likelihood_answer,
    load_calibration,
    load_contexts,
)
from contrastive_concepts.visibility.prompts import LIST_TOKENS, Prompt, load_prompt
from contrastive_concepts.visibility.yes_no import CHOICES, chat_logprobs, completion_logprobs, read_answer

MAX_TOKENS = 8
TOP_LOGPROBS = 5
WORDS_PER_ECHO = 8
"""Words scored in one request by likelihood; each takes two texts a contrast."""


Item = TypeVar("Item")
Result = TypeVar("Result")


class EndpointJudge:
    """Asks a server that is already there; the same words give the same answers whatever the concurrency."""

    def __init__(self, settings: Endpoint, name: str, client: Client, served_model: str | None = None) -> None:
        self._settings = settings
        self._name = name
        self._client = client
        self._served_model = served_model or settings.model

    @classmethod
    def of(cls, settings: OpenAIJudge) -> Self:
        """The judge at `settings.url`, with the key from the environment variable that the settings name."""
        client = Client(
            settings.url,
            key=os.environ.get(settings.api_key_variable),
            timeout_s=settings.request_timeout_s,
            attempts=settings.attempts,
            concurrency=settings.concurrency,
        )
        return cls(settings, "openai", client)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.stop()

    @property
    def author(self) -> tuple[str, str, str]:
        """Backend, model and revision, as they are kept with the answers."""
        return self._name, self._settings.model, self._settings.revision

    @property
    def question(self) -> Question:
        """What the answers depend on besides the word."""
        return question_of(self._settings, self._name)

    def ask(self, words: Sequence[str]) -> Iterator[list[Answer]]:
        """Answers as they come in; when a request fails for good, those under way are yielded before it raises."""
        if self._settings.form == "likelihood":
            calibration = load_calibration(self._settings.model, self._settings.calibration)
            for batch, rows in self.log_likelihoods(words):
                yield [likelihood_answer(word, row, calibration) for word, row in zip(batch, rows, strict=True)]
        else:
            yield from self._concurrently(lambda word: [self._yes_or_no(word)], words)

    def log_likelihoods(self, words: Sequence[str]) -> Iterator[tuple[list[str], list[list[float]]]]:
        """Batches of words, and for each word the mean log-probability of its tokens after each context, in nats."""
        if not words:
            return
        contexts = load_contexts()
        lengths = [len(tokens) for tokens in self._echo(list(contexts))]

        def score(batch: list[str]) -> tuple[list[str], list[list[float]]]:
            logprobs = iter(self._echo([f"{context} {word}" for word in batch for context in contexts]))
            # The word's own tokens are those that follow the context's: no tokeniser merges across the space.
            return batch, [[_mean(next(logprobs)[length:]) for length in lengths] for _ in batch]

        batches = [list(words[start : start + WORDS_PER_ECHO]) for start in range(0, len(words), WORDS_PER_ECHO)]
        yield from self._concurrently(score, batches)

    def write(self, prompts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """The model's answer to the instruction under each key, at temperature 0, as they come in."""
        yield from self._concurrently(lambda key: (key, self._write(prompts[key])), list(prompts))

    def _write(self, prompt: str) -> str:
        payload: Json = {"model": self._served_model, "temperature": 0, "max_tokens": LIST_TOKENS}
        if self._settings.api == "chat":
            payload["messages"] = [{"role": "user", "content": prompt}]
            choice = self._client.post("chat/completions", payload, _finished_chat)["choices"][0]
            return str(choice["message"]["content"])
        payload["prompt"] = load_prompt("mixtral_template").fill(prompt)
        return str(self._client.post("completions", payload, _finished_completion)["choices"][0]["text"])

    def _yes_or_no(self, word: str) -> Answer:
        payload: Json = {"model": self._served_model, "temperature": 0, "max_tokens": MAX_TOKENS}
        if self._settings.structured:
            payload["structured_outputs"] = {"choice": list(CHOICES)}
        text = yes_no_prompt(self._settings).fill(word)
        if self._settings.api == "chat":
            payload |= {"messages": [{"role": "user", "content": text}], "logprobs": True, "top_logprobs": TOP_LOGPROBS}
            choice = self._client.post("chat/completions", payload, _finished_chat)["choices"][0]
            said, logprobs = choice["message"]["content"], chat_logprobs(choice)
        else:
            payload |= {"prompt": text, "logprobs": TOP_LOGPROBS}
            choice = self._client.post("completions", payload, _finished_completion)["choices"][0]
            said, logprobs = choice["text"], completion_logprobs(choice)
        return read_answer(word, said, choice["finish_reason"], logprobs)

    def _echo(self, texts: list[str]) -> list[list[float]]:
        """Log-probability of each token of each text; the first token's, which has none, is 0."""
        payload = {
            "model": self._served_model,
            "prompt": texts,
            "max_tokens": 0,
            "echo": True,
            "logprobs": 0,
            "temperature": 0,
        }
        answer = self._client.post("completions", payload, lambda found: _echoed(found, len(texts)))
        choices = sorted(answer["choices"], key=lambda choice: choice["index"])
        return [[value or 0.0 for value in choice["logprobs"]["token_logprobs"]] for choice in choices]

    def _concurrently(self, task: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """The task's results in the order of their completion; when one fails for good, those under way come first."""
        waiting, failure = iter(items), None
        with ThreadPoolExecutor(self._settings.concurrency) as pool:
            try:
                under_way = {pool.submit(task, item) for item in islice(waiting, self._settings.concurrency)}
                while under_way:
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    for future in done:
                        error = future.exception()
                        if error is None:
                            yield future.result()
                        elif failure is None:
                            failure = error
                            self._client.stop()
                    if failure is None:
                        under_way |= {pool.submit(task, item) for item in islice(waiting, len(done))}
            except BaseException:
                self._client.stop()
                raise
        if failure is not None:
            raise failure


def yes_no_prompt(settings: Endpoint) -> Prompt:
    """The paper's prompt, inside Mixtral's raw template where the server applies none."""
    prompt = load_prompt("visible")
    return prompt if settings.api == "chat" else prompt.within(load_prompt("mixtral_template"))


def question_of(settings: Endpoint, name: str) -> Question:
    """What the answers of a server with these settings depend on besides the word."""
    if settings.form == "likelihood":
        calibration = load_calibration(settings.model, settings.calibration)
        return Question(name, settings.model, settings.revision, calibration.sha256, LIKELIHOOD)
    parameters: Json = {
        "api": settings.api,
        "max_tokens": MAX_TOKENS,
        "structured": settings.structured,
        "temperature": 0,
    }
    prompt_hash = yes_no_prompt(settings).sha256
    return Question(name, settings.model, settings.revision, prompt_hash, json.dumps(parameters, sort_keys=True))


def _finished_chat(answer: dict[str, Any]) -> bool:
    choice = answer["choices"][0]
    return choice["finish_reason"] in ("stop", "length") and isinstance(choice["message"]["content"], str)


def _finished_completion(answer: dict[str, Any]) -> bool:
    choice = answer["choices"][0]
    return choice["finish_reason"] in ("stop", "length") and isinstance(choice["text"], str)


def _echoed(answer: dict[str, Any], texts: int) -> bool:
    indices = sorted(choice["index"] for choice in answer["choices"] if choice["logprobs"]["token_logprobs"])
    return indices == list(range(texts))


def _mean(values: Sequence[float]) -> float:
    if not values:
        raise UserError("likelihood: the server's tokens of a word could not be told from its context's")
    return sum(values) / len(values)
