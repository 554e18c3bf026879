"""Contrastive concepts CC^L and parts of concepts, written by a language model (paper 3.5, 6.3.2, 6.4)."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import polars as pl

from contrastive_concepts.config.visibility import OneJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.answers import Answer, AnswerKey, AnswerStore
from contrastive_concepts.visibility.judging import WAIT_S, build_judge
from contrastive_concepts.visibility.prompts import LIST_TOKENS, Prompt
from contrastive_concepts.visibility.yes_no import without_reasoning

LONGEST_NAME = 5
"""Maximum number of words in a name. A longer item counts as a sentence."""


@runtime_checkable
class Writer(Protocol):
    """A judge whose model can also write a text. A context manager that releases its resources."""

    @property
    def identity(self) -> tuple[str, str, str]:
        """Backend, model and revision."""

    def write(self, prompts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Pairs of key and complete answer to its prompt, at temperature 0, in any order."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


_BRACKETS = re.compile(r"\[([^\[\]]*)(?:\]|$)")
_BULLET = re.compile(r"^\s*(?:[-*+•–]|\(?\d{1,3}[.):])\s+")
_QUOTES = "\"'`“”‘’„«»"
_UNFINISHED = re.compile(rf"\s*[{_QUOTES}]([^{_QUOTES}]|[{_QUOTES}](?=\w))*")
"""A quoted name whose quote is not closed. A quote before a letter is an apostrophe."""


def read_list(text: str, query: str) -> list[str]:
    """The names in a model's answer, in order: the paper's "light post-processing".

    Reasoning between <think> tags is ignored. Reads the first bracketed list that contains a name, with any text around
    it; or numbered or bulleted lines (text after them is ignored); or names separated by commas. Quotes and final stops
    are stripped. Sentences, duplicates and the query itself are removed, ignoring case. Text without a name gives an
    empty list.
    """
    names: dict[str, str] = {}
    for item in _items(without_reasoning(text) or ""):
        name = " ".join(item.strip().strip(_QUOTES).strip().rstrip(".;:").strip(_QUOTES).split())
        key = name.casefold()
        if (
            name
            and len(name.split()) <= LONGEST_NAME
            and key != query.strip().casefold()
            and any(map(str.isalnum, name))
        ):
            names.setdefault(key, name)
    return list(names.values())


def _items(text: str) -> Iterable[str]:
    for match in _BRACKETS.finditer(text):
        if any(map(str.isalnum, match[1])):
            items = re.split(r"[,;\n]", match[1])
            # A model that reaches its limit of tokens stops within a name.
            cut = not match[0].endswith("]") and _UNFINISHED.fullmatch(items[-1])
            return items[:-1] if cut else items
    lines = [line for line in text.splitlines() if line.strip()]
    listed = [_BULLET.sub("", line) for line in lines if _BULLET.match(line)]
    if listed:
        return [part for line in listed for part in line.split(",")]
    with_commas = [line for line in lines if "," in line] or lines[:1]
    # A preamble such as "Here is a list:" may be on the same line as the names.
    return [part for line in with_commas for part in re.split(r"[,;]", line.rpartition(":")[2])]


def write_lists(
    queries: Sequence[str],
    prompt: Prompt,
    writer: Writer,
    answers_path: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, list[str]]:
    """The list of each query, in the order of `queries`. Stored answers are not requested again.

    The raw answers are stored, so that a change of the post-processing needs no new requests.
    """
    key = answer_key_of(prompt, writer)
    with AnswerStore(answers_path, WAIT_S) as store:
        answers = store.known(key, queries)
        progress(len(answers))
        missing = {query: prompt.fill(query) for query in queries if query not in answers}
        if missing:
            with writer:
                for query, text in writer.write(missing):
                    answers[query] = Answer(query, None, text, bool(read_list(text, query)))
                    store.append(key, [answers[query]])
                    progress(len(answers))
    return {query: read_list(answers[query].answer, query) for query in queries}


def lists_table(lists: Mapping[str, Sequence[str]], prompt: Prompt, writer: Writer) -> pl.DataFrame:
    """One row per query: concept, names (list), and their origin (judge, model, revision, prompt_hash)."""
    key = answer_key_of(prompt, writer)
    table = pl.DataFrame(
        {"concept": list(lists), "names": [list(names) for names in lists.values()]},
        schema={"concept": pl.String, "names": pl.List(pl.String)},
    )
    return table.with_columns(
        judge=pl.lit(key.judge),
        model=pl.lit(key.model),
        revision=pl.lit(key.revision),
        prompt_hash=pl.lit(key.prompt_hash),
    )


def answer_key_of(prompt: Prompt, writer: Writer) -> AnswerKey:
    """Everything that a written list depends on, except the query."""
    parameters = json.dumps({"max_tokens": LIST_TOKENS, "temperature": 0}, sort_keys=True)
    return AnswerKey(*writer.identity, prompt.sha256, parameters)


def build_writer(settings: OneJudge) -> Writer:
    """The judge's model as a writer. Raises UserError for a judge that cannot write."""
    judge = build_judge(settings)
    if not isinstance(judge, Writer):
        raise UserError(f"config: writing.model: found {settings.judge!r}, expected a language model to write lists")
    return judge
