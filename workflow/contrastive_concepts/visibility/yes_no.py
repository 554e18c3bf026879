"""Reads yes or no, and its probability, from the answer to the paper's prompt (paper 6.3.2)."""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.answers import Answer

CHOICES = ("yes", "no")
NO_LOGPROBS = "no log-probabilities"
"""Remark on an answer whose probability is set to 1 or 0 because the server returned no log-probabilities."""
NEITHER = "another token than yes or no was likeliest"
"""Remark on an answer that is the likelier of yes and no although another token was the most likely."""

Alternatives = list[tuple[str, float]]
Token = tuple[str, Alternatives]
"""A generated token and its most likely alternatives with their log-probabilities."""

_REASONING = re.compile(r"<(think|thinking|thought|reasoning|analysis)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPEN = re.compile(r"<(think|thinking|thought|reasoning|analysis)>", re.IGNORECASE)
_CLOSE = re.compile(r"</(?:think|thinking|thought|reasoning|analysis)>", re.IGNORECASE)
_FINAL = re.compile(r"^.*<\|channel\|>\s*final\s*(?:<\|message\|>)?|<\|[a-z_]+\|>", re.DOTALL)
_PREAMBLE = re.compile(r"(?:the |my )?(?:final )?(?:answer|response|verdict)(?: is)?(?=\W)", re.IGNORECASE)
_LEADING = re.compile(r"(yes|no)\b(?!['’\-]\w)", re.IGNORECASE)
_BOTH = re.compile(r"\W*(?:or|and|/|nor)\W*(?:yes|no)\b", re.IGNORECASE)


def read_word(text: str) -> str | None:
    """`yes` or `no` if the text begins with that word, else None.

    Reasoning between <think> tags is skipped, and so are punctuation, quotes and "Answer:" before the word. A text that
    names both ("yes or no") gives None.
    """
    said = without_reasoning(text)
    if said is None:
        return None
    text = _skip_marks(unicodedata.normalize("NFKC", said))
    if preamble := _PREAMBLE.match(text):
        text = _skip_marks(text[preamble.end() :])
    found = _LEADING.match(text)
    if found is None or _BOTH.match(text, found.end()):
        return None
    return found[1].casefold()


def without_reasoning(text: str) -> str | None:
    """The text after the model's reasoning, None if the reasoning does not end."""
    text = _REASONING.sub(" ", _FINAL.sub(" ", text))
    # Some templates open the reasoning tag in the prompt, so that the answer has only the closing tag.
    closed = list(_CLOSE.finditer(text))
    if closed:
        text = text[closed[-1].end() :]
    return None if _OPEN.search(text) else text


def read_answer(
    word: str, text: str | None, tokens: Sequence[Token], remark: str = "", constrained: bool = False
) -> Answer:
    """The verdict in a server's answer. A text that is neither yes nor no, or is missing, is unparsed.

    P(yes) is the share of yes among the alternatives `tokens` at the position of the answer that are yes or no. Without
    log-probabilities it is 1.0 or 0.0, which is added to `remark`. constrained: the server allowed only yes or no.
    """
    said = read_word(text) if text else None
    if said is None:
        return Answer(word, None, text or "", False, remark)
    p = share_of_yes(tokens, constrained)
    if p is None:
        remark = ", ".join(filter(None, [remark, NO_LOGPROBS]))
    return Answer(word, float(said == "yes") if p is None else p, text or "", True, remark)


def share_of_yes(tokens: Sequence[Token], constrained: bool = False) -> float | None:
    """P(yes) / (P(yes) + P(no)) among the alternatives of the token that is yes or no, after any reasoning.

    If no token is, the first token that has yes or no among its alternatives is used; if there is none, the result is
    None. constrained: a token that is the beginning of one of the words counts too, as no other word can follow.
    """
    tokens = _after_reasoning(tokens)
    read = _begun if constrained else _alone
    saying = [alternatives for token, alternatives in tokens if read(token)]
    for alternatives in [*saying[:1], *(alternatives for _, alternatives in tokens)]:
        mass = dict.fromkeys(CHOICES, 0.0)
        for token, logprob in alternatives:
            said = read(token)
            if said is not None and isinstance(logprob, int | float) and math.isfinite(logprob):
                mass[said] += math.exp(min(logprob, 0.0))
        if sum(mass.values()) > 0:
            return mass["yes"] / sum(mass.values())
    return None


def names_of(vocabulary: Mapping[str, int]) -> dict[str, list[int]]:
    """The ids of the tokens for yes and of those for no, in upper or lower case, with or without a space."""
    found: dict[str, list[int]] = {said: [] for said in CHOICES}
    for token, number in vocabulary.items():
        said = _alone(token)
        if said is not None:
            found[said].append(number)
    if not all(found.values()):
        raise UserError(
            "visibility.form: yes_no: the model's vocabulary has no token for yes or no; use form: likelihood"
        )
    return found


def chat_tokens(choice: dict[str, Any]) -> list[Token]:
    """The tokens in a choice of /v1/chat/completions; empty if the server returned no log-probabilities."""
    try:
        content = (choice.get("logprobs") or {}).get("content") or []
        return [
            (str(token["token"]), [(str(top["token"]), top["logprob"]) for top in token.get("top_logprobs") or []])
            for token in content
        ]
    except (AttributeError, KeyError, TypeError):
        return []


def completion_tokens(choice: dict[str, Any]) -> list[Token]:
    """The tokens in a choice of /v1/completions; empty if the server returned no log-probabilities."""
    try:
        found = choice.get("logprobs") or {}
        tops = found.get("top_logprobs") or []
        names = found.get("tokens") or [""] * len(tops)
        return [(str(name), list((top or {}).items())) for name, top in zip(names, tops, strict=False)]
    except (AttributeError, TypeError):
        return []


def text_of(content: Any) -> str | None:
    """A message's text: a string, or the text parts of a list of parts; None if there is none."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        return "".join(part for part in parts if isinstance(part, str)) or None
    return content if isinstance(content, str) and content.strip() else None


def _alone(token: str) -> str | None:
    """`yes` or `no` if a token is that word, ignoring case, punctuation and spaces; else None."""
    letters = "".join(
        c for c in token.casefold() if not c.isspace() and unicodedata.category(c)[0] not in "PSC" and c not in "▁ġ"
    )
    return letters if letters in CHOICES else None


def _begun(token: str) -> str | None:
    """`yes` or `no` if a token is that word or its beginning; else None."""
    letters = token.strip()
    return _alone(token) or next((word for word in CHOICES if letters and word.startswith(letters)), None)


def _after_reasoning(tokens: Sequence[Token]) -> Sequence[Token]:
    text, after = "", 0
    for number, (token, _) in enumerate(tokens, 1):
        text += token
        if _CLOSE.search(text[-40:]):
            text, after = "", number
    return tokens[after:]


def _skip_marks(text: str) -> str:
    for number, character in enumerate(text):
        if character.isalnum():
            return text[number:]
    return ""
