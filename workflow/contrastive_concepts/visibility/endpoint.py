"""A judge behind an OpenAI-compatible server: the paper's prompt, or likelihood for small models."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

from contrastive_concepts.config.visibility import Endpoint, OpenAIJudge, VllmJudge
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.visibility.answers import Answer, AnswerKey
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
TOP_LOGPROBS = 10
OPTIONAL = ("structured_outputs", "top_logprobs", "logprobs", "max_tokens", "max_completion_tokens", "temperature")
"""Request fields that some servers refuse, the least important for the verdicts first."""
RENAMED = {"max_tokens": "max_completion_tokens"}
FILTERED = "refused by the server's filter of contents"
REQUESTS, WORDS_PER_REQUEST = 8, 64
"""For servers that take several words per request: number of concurrent requests, maximum of words in each."""
WORDS_PER_ECHO = 8
"""Words per request in likelihood mode. Each word is sent once with every context."""


Item = TypeVar("Item")
Result = TypeVar("Result")


class EndpointJudge:
    """Asks a server that is already running. The answers do not depend on the concurrency."""

    def __init__(self, settings: Endpoint, name: str, client: Client, served_model: str | None = None) -> None:
        self._settings = settings
        self._name = name
        self._client = client
        self._served_model = served_model or settings.model
        self._refused: frozenset[str] = frozenset()
        self._takes_lists = True
        self.tokens = 0
        """Number of tokens that the model has read and written so far, where the server reports it."""

    @classmethod
    def of(cls, settings: OpenAIJudge) -> Self:
        """The judge at `settings.url`. The key comes from the environment variable that the settings name."""
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
    def identity(self) -> tuple[str, str, str]:
        """Backend, model and revision, as stored with the answers."""
        return self._name, self._settings.model, self._settings.revision

    @property
    def answer_key(self) -> AnswerKey:
        """Everything that the answers depend on, except the word."""
        return answer_key_of(self._settings, self._name)

    def ask(self, words: Sequence[str]) -> Iterator[list[Answer]]:
        """Answers in the order of arrival. If a request fails finally, the others in flight are yielded first."""
        if self._settings.form == "likelihood":
            calibration = load_calibration(self._settings.model, self._settings.calibration)
            for batch, rows in self.log_likelihoods(words):
                yield [likelihood_answer(word, row, calibration) for word, row in zip(batch, rows, strict=True)]
        else:
            size = self._words_per_request
            batches = [list(words[start : start + size]) for start in range(0, len(words), size)]
            yield from self._concurrently(self._yes_or_no, batches, size)

    def log_likelihoods(self, words: Sequence[str]) -> Iterator[tuple[list[str], list[list[float]]]]:
        """Batches of words, and for each word the mean log-probability of its tokens after each context, in nats."""
        if not words:
            return
        contexts = load_contexts()
        lengths = [len(tokens) for tokens in self._echo(list(contexts))]

        def score(batch: list[str]) -> tuple[list[str], list[list[float]]]:
            logprobs = iter(self._echo([f"{context} {word}" for word in batch for context in contexts]))
            # The word's tokens are those after the context's: no tokeniser merges across the space.
            return batch, [[_mean(next(logprobs)[length:]) for length in lengths] for _ in batch]

        batches = [list(words[start : start + WORDS_PER_ECHO]) for start in range(0, len(words), WORDS_PER_ECHO)]
        yield from self._concurrently(score, batches)

    def write(self, prompts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Pairs of key and answer to its prompt, at temperature 0, in the order of arrival."""
        yield from self._concurrently(lambda key: (key, self._write(prompts[key])), list(prompts))

    def _write(self, prompt: str) -> str:
        (choice,), _ = self._complete([prompt], {"max_tokens": LIST_TOKENS})
        return answer_text(choice) or ""

    @property
    def _words_per_request(self) -> int:
        """The number of words that lets REQUESTS requests use the full concurrency; 1 if the server takes no lists."""
        takes_lists = self._settings.api == "completion" or self._name == "vllm"
        return min(max(self._settings.concurrency // REQUESTS, 1), WORDS_PER_REQUEST) if takes_lists else 1

    def _yes_or_no(self, words: list[str]) -> list[Answer]:
        """The answers to `words`, asked in one request or, if the server refuses the list, in one request per word."""
        if len(words) == 1 or not self._takes_lists:
            return [self._answer(word) for word in words]
        try:
            return self._answers(words)
        except Refused as refusal:
            # Other statuses may concern a single word or the length of the list.
            if refusal.status in (404, 405, 501):
                self._takes_lists = False
            return [self._answer(word) for word in words]

    def _answer(self, word: str) -> Answer:
        try:
            (answer,) = self._answers([word])
        except Refused as refusal:
            if not _is_filtered(refusal):
                raise
            return Answer(word, None, one_line(refusal.body), False, FILTERED)
        return answer

    def _answers(self, words: list[str]) -> list[Answer]:
        chat = self._settings.api == "chat"
        fields: Json = {"max_tokens": MAX_TOKENS}
        fields |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS} if chat else {"logprobs": TOP_LOGPROBS}
        if self._settings.structured:
            fields["structured_outputs"] = {"choice": list(CHOICES)}
        prompt = load_prompt("prompts/visible.txt")
        choices, left_out = self._complete([prompt.fill(word) for word in words], fields)
        constrained = self._settings.structured and "without structured_outputs" not in left_out
        answers = []
        for word, choice in zip(words, choices, strict=True):
            found, remarks = answer_text(choice), list(left_out)
            if found is None:
                remarks.append(f"no text (finish_reason {choice.get('finish_reason')!r})")
            tokens = chat_tokens(choice) if chat else completion_tokens(choice)
            answers.append(read_answer(word, found, tokens, ", ".join(remarks), constrained))
        return answers

    def _complete(self, texts: list[str], fields: Json) -> tuple[list[Json], list[str]]:
        """The model's choice for each text, and a remark for each of `fields` that the server refused.

        A refused field is identified by its name in the refusal, or else by leaving out one field after the other. It
        is not sent again. Raises Refused if the request is refused without these fields too.
        """
        path, payload = self._request(texts)
        fields = {"temperature": 0, **fields}
        refused, first = self._refused, None
        while True:
            names = {name: RENAMED.get(name, name) if name in refused else name for name in fields}
            sent = {names[name]: value for name, value in fields.items() if names[name] not in refused}
            try:
                answer = self._client.post(path, payload | sent, lambda found: _has_choices(found, len(texts)))
            except Refused as refusal:
                first = first or refusal
                field = _refused_field(refusal, sent)
                if field is None:
                    raise first from None
                refused |= {field}
            else:
                # Stored only after success: a request may also be refused because of its word.
                self._refused |= refused
                self.tokens += _tokens_of(answer)
                return _in_order(answer, len(texts)), [f"without {name}" for name in fields if names[name] in refused]

    def _request(self, texts: list[str]) -> tuple[str, Json]:
        """Path and payload of the request. Only vLLM has a path for several conversations."""
        if self._settings.api == "completion":
            prompts = [load_prompt("prompts/mixtral_template.txt").fill(text) for text in texts]
            return "completions", {"model": self._served_model, "prompt": prompts if len(texts) > 1 else prompts[0]}
        conversations = [[{"role": "user", "content": text}] for text in texts]
        if len(texts) > 1:
            return "chat/completions/batch", {"model": self._served_model, "messages": conversations}
        return "chat/completions", {"model": self._served_model, "messages": conversations[0]}

    def _echo(self, texts: list[str]) -> list[list[float]]:
        """Log-probability of each token of each text. The first token has none and gets 0."""
        payload = {
            "model": self._served_model,
            "prompt": texts,
            "max_tokens": 0,
            "echo": True,
            "logprobs": 0,
            "temperature": 0,
        }
        answer = self._client.post("completions", payload, lambda found: _echoed(found, len(texts)))
        self.tokens += _tokens_of(answer)
        choices = sorted(answer["choices"], key=lambda choice: choice["index"])
        return [[value or 0.0 for value in choice["logprobs"]["token_logprobs"]] for choice in choices]

    def _concurrently(
        self, task: Callable[[Item], Result], items: Sequence[Item], per_task: int = 1
    ) -> Iterator[Result]:
        """The results of the task in the order of completion. If a task fails, results in flight are yielded first.

        per_task: words per task. The words in flight are limited by the `concurrency` of the settings.
        """
        waiting, failure = iter(items), None
        width = -(-self._settings.concurrency // per_task)
        with ThreadPoolExecutor(width) as pool:
            try:
                under_way = {pool.submit(task, item) for item in islice(waiting, width)}
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
    """The paper's prompt, inside Mixtral's raw template if the server applies no template."""
    prompt = load_prompt("prompts/visible.txt")
    return prompt if settings.api == "chat" else prompt.within(load_prompt("prompts/mixtral_template.txt"))


def answer_key_of(settings: Endpoint, name: str) -> AnswerKey:
    """Everything that the answers of a server with these settings depend on, except the word."""
    if settings.form == "likelihood":
        calibration = load_calibration(settings.model, settings.calibration)
        weights = weights_of(settings)
        parameters = json.loads(LIKELIHOOD) | ({"weights": weights} if weights else {})
        text = json.dumps(parameters, sort_keys=True)
        return AnswerKey(name, settings.model, settings.revision, calibration.sha256, text, weights)
    parameters = {
        "api": settings.api,
        "max_tokens": MAX_TOKENS,
        "structured": settings.structured,
        "temperature": 0,
    }
    weights = weights_of(settings)
    if weights:
        parameters["weights"] = weights
    prompt_hash = yes_no_prompt(settings).sha256
    return AnswerKey(
        name, settings.model, settings.revision, prompt_hash, json.dumps(parameters, sort_keys=True), weights
    )


def weights_of(settings: Endpoint) -> str:
    """The weights and quantisation, if they differ from the plain model; empty if unknown. They can change verdicts."""
    if not isinstance(settings, VllmJudge):
        return ""
    other = settings.weights if settings.weights != settings.model else ""
    revision = settings.served_revision if other else ""
    return ", ".join(filter(None, [f"{other}@{revision}" if revision else other, settings.quantization]))


def answer_text(choice: Json) -> str | None:
    """The text of a choice of either API, None if it has none."""
    message = choice.get("message")
    return text_of(message.get("content") if isinstance(message, dict) else choice.get("text"))


def _has_choices(answer: Json, number: int) -> bool:
    """Whether an answer contains a choice for each text. The content is not checked."""
    return len(answer["choices"]) >= number and all(map(_is_whole, _in_order(answer, number)))


def _is_whole(choice: Json) -> bool:
    """Whether a choice is present. A choice without text from an aborted engine is not an answer."""
    if choice.get("finish_reason") == "abort" and answer_text(choice) is None:
        return False
    return isinstance(choice.get("message"), dict) or "text" in choice


def _in_order(answer: Json, number: int) -> list[Json]:
    """One choice per text, in the order of the texts. On some servers a single choice has no index."""
    choices: list[Json] = answer["choices"]
    return choices[:1] if number == 1 else sorted(choices, key=lambda choice: choice["index"])[:number]


def _tokens_of(answer: Json) -> int:
    usage = answer.get("usage")
    found = usage.get("total_tokens") if isinstance(usage, dict) else None
    return found if isinstance(found, int) else 0


def _refused_field(refusal: Refused, sent: Json) -> str | None:
    """The optional field to leave out: the one named in the refusal, else the first; None if that cannot help."""
    optional = [name for name in OPTIONAL if name in sent]
    if refusal.status not in (400, 403, 422) or _is_filtered(refusal):
        return None
    for text in _named_fields(refusal.body):
        for name in optional:
            if re.search(rf"(?<![a-z_]){name}(?![a-z_])", text):
                return name
    return next(iter(optional), None) if refusal.status != 403 else None


def _named_fields(body: str) -> list[str]:
    """Texts that may name the refused field, most reliable first: `param` (OpenAI), `detail[].loc` (FastAPI), body."""
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
    """Whether a content filter refused the request."""
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
    """Whether the answer echoes every text. Raises UserError if an echo lacks the data that is needed."""
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
