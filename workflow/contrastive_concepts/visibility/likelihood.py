"""Seeing by likelihood, for models too small to follow an instruction.

A word that names something visible is more likely after "Things one can see in a photo: ..." than after "Things one
cannot see in a photo: ..."; in the ratio of the two the word's own frequency cancels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.prompts import SLOT, resource, text_sha256

SLOPE, MIDDLE = 0.1259, 2.6252
"""Per nat, and nats: fitted to the contexts and SmolLM2-135M-Instruct by `calibration`; another model needs its own."""


@dataclass(frozen=True)
class Contrast:
    """Two beginnings of a sentence that the word ends: where it can be seen, and where it cannot."""

    seen: str
    unseen: str


@cache
def load_contrasts() -> tuple[Contrast, ...]:
    """The pairs of contexts in `resources/prompts/likelihood.txt`: two lines each, the seen one first."""
    lines = [line for line in resource("likelihood.txt").splitlines() if line and not line.startswith("#")]
    if len(lines) % 2 or not all(line.endswith(f" {SLOT}") for line in lines):
        raise UserError(f"likelihood.txt: found {len(lines)} contexts, expected pairs of lines that end in {SLOT}")
    beginnings = [line.removesuffix(f" {SLOT}") for line in lines]
    return tuple(Contrast(*pair) for pair in zip(beginnings[::2], beginnings[1::2], strict=True))


def contrasts_sha256() -> str:
    """Hash of the contexts and of the calibration: what a probability depends on besides the model."""
    return text_sha256(resource("likelihood.txt") + f"\n{SLOPE} {MIDDLE}")


def score(log_likelihoods: Sequence[tuple[float, float]]) -> float:
    """The sum over contrasts of log P(word | seen) - log P(word | unseen), each per token of the word, in nats."""
    return sum(seen - unseen for seen, unseen in log_likelihoods)


def probability(value: float) -> float:
    """P(visible) of a score, by the logistic curve fitted on human ratings (see `calibration`)."""
    return 1 / (1 + math.exp(-SLOPE * (value - MIDDLE)))
