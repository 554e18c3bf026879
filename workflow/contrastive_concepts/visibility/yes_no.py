"""Yes or no: what is asked in the paper's words, and what the answer says (paper 6.3.2)."""

import math
import unicodedata
from typing import Any

from contrastive_concepts.visibility.answers import Answer

CHOICES = ("yes", "no")


def read_word(text: str) -> str | None:
    """`yes` or `no` where the text is that word and nothing else but case, quotes, stops and spaces; else None."""
    letters = "".join(c for c in text.casefold() if not c.isspace() and unicodedata.category(c)[0] not in "PSC")
    return letters if letters in CHOICES else None


def read_answer(word: str, text: str, finish_reason: str, top_logprobs: list[list[tuple[str, float]]]) -> Answer:
    """The verdict in a server's answer; anything but a finished yes or no is unparsed.

    `top_logprobs`: for each generated token, its likeliest alternatives with their log-probabilities; P(yes) is the
    share of yes among the alternatives that say yes or no at the token that says it, else 1.0 or 0.0.
    """
    said = read_word(text)
    if said is None or finish_reason != "stop":
        return Answer(word, None, text, False)
    p = share_of_yes(top_logprobs)
    return Answer(word, float(said == "yes") if p is None else p, text, True)


def share_of_yes(top_logprobs: list[list[tuple[str, float]]]) -> float | None:
    """P(yes) / (P(yes) + P(no)) at the first token whose alternatives hold a yes or a no; None where there is none."""
    for alternatives in top_logprobs:
        mass = dict.fromkeys(CHOICES, 0.0)
        for token, logprob in alternatives:
            said = read_word(token)
            if said is not None and math.isfinite(logprob):
                mass[said] += math.exp(logprob)
        if sum(mass.values()) > 0:
            return mass["yes"] / sum(mass.values())
    return None


def chat_logprobs(choice: dict[str, Any]) -> list[list[tuple[str, float]]]:
    """The alternatives in a choice of /v1/chat/completions."""
    content = (choice.get("logprobs") or {}).get("content") or []
    return [[(top["token"], top["logprob"]) for top in token.get("top_logprobs") or []] for token in content]


def completion_logprobs(choice: dict[str, Any]) -> list[list[tuple[str, float]]]:
    """The alternatives in a choice of /v1/completions."""
    return [list((tops or {}).items()) for tops in (choice.get("logprobs") or {}).get("top_logprobs") or []]
