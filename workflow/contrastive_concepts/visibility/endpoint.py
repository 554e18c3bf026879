"""A judge behind an OpenAI-compatible server: the paper's prompt, or likelihood for small models."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

from contrastive_concepts.config.visibility import Endpoint, OpenAIJudge
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.visibility.answers import Answer, Question
from contrastive_concepts.visibility.client import Client, Json, Refused
from contrastive_concepts.visibility.likelihood import (
    LIKELIHOOD,
    likelihood_answer,
    load_calibration,
    load_contexts,
)
from contrastive_concepts.visibility.prompts import LIST_TOKENS, Prompt, load_prompt
from contrastive_concepts.visibility.yes_no import (
    CHOICES,
    chat_tokens,
    completion_tokens,
    read_answer,
    text_of,
)

MAX_TOKENS = 8
TOP_LOGPROBS = 5
OPTIONAL = ("structured_outputs", "top_logprobs", "logprobs", "max_tokens", "max_completion_tokens", "temperature")
"""Fields that some servers refuse; what the verdicts need least comes first."""
RENAMED = {"max_tokens": "max_completion_tokens"}
FILTERED = "refused by the server's filter of contents"
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
        self._refused: frozenset[str] = frozenset()

    @classmethod
    def of(cls, settings: OpenAIJudge) -> Self:
        """The judge at `settings.url`, with the key from the environment variable that the settings name."""
        client = Client(
            settings.url,
            key=os.environ.get(settings.api_key_variable),
            key_name=settings.api_key_variable,
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
        choice, _ = self._complete(prompt, load_prompt("mixtral_template"), {"max_tokens": LIST_TOKENS})
        return said(choice) or ""

    def _yes_or_no(self, word: str) -> Answer:
        text = load_prompt("visible").fill(word)
        chat = self._settings.api == "chat"
        fields: Json = {"max_tokens": MAX_TOKENS}
        fields |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS} if chat else {"logprobs": TOP_LOGPROBS}
        if self._settings.structured:
            fields["structured_outputs"] = {"choice": list(CHOICES)}
        try:
            choice, remarks = self._complete(text, load_prompt("mixtral_template"), fields)
        except Refused as refusal:
            if not _is_filtered(refusal):
                raise
            return Answer(word, None, one_line(refusal.body), False, FILTERED)
        found = said(choice)
        if found is None:
            remarks.append(f"no text (finish_reason {choice.get('finish_reason')!r})")
        tokens = chat_tokens(choice) if chat else completion_tokens(choice)
        return read_answer(word, found, tokens, ", ".join(remarks))

    def _complete(self, text: str, template: Prompt, fields: Json) -> tuple[Json, list[str]]:
        """The model's choice, and what had to be left out of `fields`, which a server may refuse to take.

        A refused field is found by its name in the refusal, or else by leaving out one after the other; it is not sent
        again. Raises Refused where the request is refused whatever is left out.
        """
        payload: Json = {"model": self._served_model}
        if self._settings.api == "chat":
            path, payload["messages"] = "chat/completions", [{"role": "user", "content": text}]
        else:
            path, payload["prompt"] = "completions", template.fill(text)
        fields = {"temperature": 0, **fields}
        refused, first = self._refused, None
        while True:
            names = {name: RENAMED.get(name, name) if name in refused else name for name in fields}
            sent = {names[name]: value for name, value in fields.items() if names[name] not in refused}
            try:
                answer = self._client.post(path, payload | sent, _has_choice)
            except Refused as refusal:
                first = first or refusal
                field = _refused_field(refusal, sent)
                if field is None:
                    raise first from None
                refused |= {field}
            else:
                # Kept only now: a request that is refused for its word shows nothing of the fields.
                self._refused |= refused
                return answer["choices"][0], [f"without {name}" for name in fields if names[name] in refused]

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


def said(choice: Json) -> str | None:
    """The text of a choice of either API, None where it has none."""
    message = choice.get("message")
    return text_of(message.get("content") if isinstance(message, dict) else choice.get("text"))


def _has_choice(answer: Json) -> bool:
    """Whether an answer holds a choice, whatever it says; an engine that was stopped midway has not answered."""
    choice = answer["choices"][0]
    if choice.get("finish_reason") == "abort" and said(choice) is None:
        return False
    return isinstance(choice.get("message"), dict) or "text" in choice


def _refused_field(refusal: Refused, sent: Json) -> str | None:
    """The optional field to leave out: the one that the refusal names, else the first; None where that is no use."""
    optional = [name for name in OPTIONAL if name in sent]
    if refusal.status not in (400, 403, 422) or _is_filtered(refusal):
        return None
    for text in _places(refusal.body):
        for name in optional:
            if re.search(rf"(?<![a-z_]){name}(?![a-z_])", text):
                return name
    return next(iter(optional), None) if refusal.status != 403 else None


def _places(body: str) -> list[str]:
    """Where a refusal may name a field, surest first: `param` (OpenAI), `detail[].loc` (FastAPI), the text."""
    try:
        answer = json.loads(body)
    except ValueError:
        return [body]
    answer = answer if isinstance(answer, dict) else {}
    error = answer.get("error")
    param = error.get("param") if isinstance(error, dict) else None
    locations = [str(detail.get("loc", "")) for detail in _dicts(answer.get("detail"))]
    return [str(param or ""), *locations, body]


def _dicts(value: Any) -> list[Json]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _is_filtered(refusal: Refused) -> bool:
    """Whether a request was refused for what it says, by a filter of contents."""
    return (
        refusal.status in (400, 403, 422, 451)
        and re.search(
            r"content[ _-]?(?:filter|policy|management|moderation)|moderation|data_inspection|responsible_?ai",
            refusal.body,
            re.IGNORECASE,
        )
        is not None
    )


def _echoed(answer: Json, texts: int) -> bool:
    """Whether every text has come back. Raises UserError where they come back without what is needed of them."""
    choices = answer["choices"]
    if not all((choice.get("logprobs") or {}).get("token_logprobs") for choice in choices):
        raise UserError(
            "likelihood: the server's answer holds no log-probabilities of the prompt, expected a server that takes "
            "echo and logprobs in /completions (vLLM does); or set visibility.form: yes_no"
        )
    return sorted(choice["index"] for choice in choices) == list(range(texts))


def _mean(values: Sequence[float]) -> float:
    if not values:
        raise UserError("likelihood: the server's tokens of a word could not be told from its context's")
    return sum(values) / len(values)
