"""Contrastive concepts CC^L and parts, written by a language model (paper 3.5, 6.3.2, 6.4)."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from contrastive_concepts.visibility.answers import Answer, AnswerStore, Question
from contrastive_concepts.visibility.prompts import load_prompt

MAX_TOKENS = 256
LONGEST_NAME = 5
"""Words in a name; a longer item is a sentence."""

Kind = Literal["contrastive", "parts"]
Generate = Callable[[str], str]
"""A model's whole answer to a prompt, at temperature 0."""

_BRACKETS = re.compile(r"\[([^\[\]]*)(?:\]|$)")
_BULLET = re.compile(r"^\s*(?:[-*+•–]|\(?\d{1,3}[.):])\s+")
_QUOTES = "\"'`“”‘’„«»"


def read_list(text: str, query: str) -> list[str]:
    """The names in a model's answer, in order: the paper's "light post-processing".

    Understands the first bracketed list that holds a name, whatever stands around it, numbered or bulleted lines (what
    follows them is prose), and names between commas. Quotes and final stops are stripped; sentences, duplicates and the
    query itself are removed, without regard to case. Text without a name gives an empty list.
    """
    names: dict[str, str] = {}
    for item in _items(text):
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
            return re.split(r"[,;\n]", match[1])
    lines = [line for line in text.splitlines() if line.strip()]
    listed = [_BULLET.sub("", line) for line in lines if _BULLET.match(line)]
    if listed:
        return [part for line in listed for part in line.split(",")]
    with_commas = [line for line in lines if "," in line] or lines[:1]
    # A preamble such as "Here is a list:" may share the line with the names.
    return [part for line in with_commas for part in re.split(r"[,;]", line.rpartition(":")[2])]


def generate_lists(
    queries: Sequence[str],
    kind: Kind,
    generate: Generate,
    model: tuple[str, str, str],
    answers_path: Path,
    wait_s: float = 600.0,
) -> dict[str, list[str]]:
    """The list of each query, in the order of `queries`; an answer already kept is not asked for again.

    `model`: backend, model and revision, as they are kept with the answers. The raw answers are what is kept, so that
    another post-processing asks nothing.
    """
    prompt = load_prompt(kind)
    parameters = json.dumps({"max_tokens": MAX_TOKENS, "temperature": 0}, sort_keys=True)
    question = Question(*model, prompt.sha256, parameters)
    with AnswerStore(answers_path, wait_s) as store:
        answers = store.known(question, queries)
        for query in dict.fromkeys(queries):
            if query not in answers:
                text = generate(prompt.fill(query))
                answers[query] = Answer(query, None, text, bool(read_list(text, query)))
                store.append(question, [answers[query]])
    return {query: read_list(answers[query].answer, query) for query in queries}


def without_parts(names: Sequence[str], parts: Iterable[str]) -> list[str]:
    """`CC - parts` (paper 6.4): the names that are no part of the query, without regard to case."""
    removed = {part.casefold() for part in parts}
    return [name for name in names if name.casefold() not in removed]
