"""A judge behind an OpenAI-compatible server: the paper's prompt, or likelihood for small models."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from types import TracebackType
from typing import Any, Self

from contrastive_concepts.config.visibility import Endpoint, OpenAIJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.answers import Answer, Question
from contrastive_concepts.visibility.client import Client, Json
from contrastive_concepts.visibility.likelihood import contrasts_sha256, load_contrasts, probability, score
from contrastive_concepts.visibility.prompts import Prompt, load_prompt
from contrastive_concepts.visibility.yes_no import CHOICES, chat_logprobs, completion_logprobs, read_answer

MAX_TOKENS = 8
TOP_LOGPROBS = 5
WORDS_PER_ECHO = 8
"""Words scored in one request by likelihood; each takes two texts a contrast."""


class EndpointJudge:
    """Asks a server that is already there; the same words give the same answers whatever the concurrency."""

    def __init__(self, settings: Endpoint, name: str, client: Client, served_model: str | None = None) -> None:
        self._settings = settings
        self._name = name
        self._client = client
        self._served_model = served_model or settings.model
        self._context_lengths: dict[str, int] = {}

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
    def question(self) -> Question:
        """What the answers depend on besides the word."""
        return question_of(self._settings, self._name)

    def ask(self, words: Sequence[str]) -> Iterator[list[Answer]]:
        """Answers as they come in; when a request fails for good, those under way are yielded before it raises."""
        if self._settings.form == "likelihood":
            size, task = WORDS_PER_ECHO, self._by_likelihood
            if words:
                self._measure_contexts()
        else:
            size, task = 1, self._by_question
        chunks = iter([words[start : start + size] for start in range(0, len(words), size)])
        yield from _concurrently(task, chunks, self._settings.concurrency, self._client.stop)

    def generate(self, prompt: str, max_tokens: int = 256) -> str:
        """The model's answer to one instruction at temperature 0."""
        payload: Json = {"model": self._served_model, "temperature": 0, "max_tokens": max_tokens}
        if self._settings.api == "chat":
            payload["messages"] = [{"role": "user", "content": prompt}]
            text: str = self._client.post("chat/completions", payload, _finished_chat)["choices"][0]["message"][
                "content"
            ]
        else:
            payload["prompt"] = load_prompt("mixtral_template").fill(prompt)
            text = self._client.post("completions", payload, _finished_completion)["choices"][0]["text"]
        return text

    def _by_question(self, words: Sequence[str]) -> list[Answer]:
        return [self._yes_or_no(word) for word in words]

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

    def _by_likelihood(self, words: Sequence[str]) -> list[Answer]:
        contexts = [context for contrast in load_contrasts() for context in (contrast.seen, contrast.unseen)]
        logprobs = self._echo([f"{context} {word}" for word in words for context in contexts])
        answers = []
        for row, word in enumerate(words):
            columns = logprobs[row * len(contexts) : (row + 1) * len(contexts)]
            # The word's own tokens are those that follow the context's: no tokeniser merges across the space.
            means = [_mean(tokens[self._context_lengths[c] :]) for tokens, c in zip(columns, contexts, strict=True)]
            value = score(list(zip(means[::2], means[1::2], strict=True)))
            answers.append(Answer(word, probability(value), f"{value:.4f}", True))
        return answers

    def _measure_contexts(self) -> None:
        contexts = [context for contrast in load_contrasts() for context in (contrast.seen, contrast.unseen)]
        self._context_lengths = {
            context: len(tokens) for context, tokens in zip(contexts, self._echo(contexts), strict=True)
        }

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


def yes_no_prompt(settings: Endpoint) -> Prompt:
    """The paper's prompt, inside Mixtral's raw template where the server applies none."""
    prompt = load_prompt("visible")
    return prompt if settings.api == "chat" else prompt.within(load_prompt("mixtral_template"))


def question_of(settings: Endpoint, name: str) -> Question:
    """What the answers of a server with these settings depend on besides the word."""
    if settings.form == "likelihood":
        prompt_hash = contrasts_sha256()
        parameters: Json = {"score": "likelihood"}
    else:
        prompt_hash = yes_no_prompt(settings).sha256
        parameters = {
            "api": settings.api,
            "max_tokens": MAX_TOKENS,
            "structured": settings.structured,
            "temperature": 0,
        }
    return Question(name, settings.model, settings.revision, prompt_hash, json.dumps(parameters, sort_keys=True))


def _concurrently(
    task: Callable[[Sequence[str]], list[Answer]],
    chunks: Iterator[Sequence[str]],
    concurrency: int,
    stop: Callable[[], None],
) -> Iterator[list[Answer]]:
    """The task's results in the order of their completion, at most `concurrency` under way."""
    failure: BaseException | None = None
    with ThreadPoolExecutor(concurrency) as pool:
        try:
            under_way: set[Future[list[Answer]]] = {pool.submit(task, chunk) for chunk in islice(chunks, concurrency)}
            while under_way:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    error = future.exception()
                    if error is None:
                        yield future.result()
                    elif failure is None:
                        failure = error
                        stop()
                if failure is None:
                    under_way |= {pool.submit(task, chunk) for chunk in islice(chunks, len(done))}
        except BaseException:
            stop()
            raise
    if failure is not None:
        raise failure


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
