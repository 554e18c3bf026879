"""The likelihood judge, for models too small to follow an instruction.

A word that names something visible is likelier after "Things one can see in a photo: ..." than after "She felt a sense
of". Each context has a weight. The weights sum to zero, so that the word's own frequency cancels.
"""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from contrastive_concepts.errors import UserError
from contrastive_concepts.resources import RESOURCES
from contrastive_concepts.text_files import read_json_as
from contrastive_concepts.visibility.answers import Answer, answer_of
from contrastive_concepts.visibility.prompts import SLOT, load_prompts, text_sha256

CALIBRATIONS = "calibrations/likelihood/*.json"
LIKELIHOOD = '{"score": "likelihood"}'
"""The decoding parameters that are stored with an answer in likelihood mode."""


class Calibration(BaseModel):
    """Maps the log-likelihoods of one model to P(visible). Fitted on human ratings (see `calibration`).

    weights: one per context, per nat. intercept: the log-odds if the word is equally likely after all contexts.
    `fitted_on` and `agreement` are for readers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: list[str]
    contexts_sha256: str
    weights: list[float]
    intercept: float
    fitted_on: str = ""
    agreement: dict[str, dict[str, float]] = {}

    def log_odds(self, log_likelihoods: Sequence[float]) -> float:
        """log(P / (1 - P)) of a word, from the mean log-probability of its tokens after each context, in nats."""
        return self.intercept + sum(w * value for w, value in zip(self.weights, log_likelihoods, strict=True))

    @property
    def sha256(self) -> str:
        """Hash of the contexts, weights and intercept: all that a probability depends on, except the model."""
        return text_sha256(f"{self.contexts_sha256} {self.weights} {self.intercept}")


@cache
def load_contexts() -> tuple[str, ...]:
    """The sentence beginnings in `resources/prompts/likelihood.txt`. The word to judge completes them."""
    lines = load_prompts("prompts/likelihood.txt")
    wrong = [line for line in lines if not line.endswith(f" {SLOT}")]
    if wrong:
        raise UserError(f"likelihood.txt: found {wrong[0]!r}, expected lines that end in {SLOT}")
    return tuple(line.removesuffix(f" {SLOT}") for line in lines)


def contexts_sha256() -> str:
    """Hash of the contexts."""
    return text_sha256("\n".join(load_contexts()))


def load_calibration(model: str, path: str | None = None) -> Calibration:
    """The calibration in the file `path`, or the one next to the prompts for this model's name.

    Raises UserError if there is none, or if it was fitted to other contexts.
    """
    if path is not None:
        found = read_json_as(Calibration, Path(os.path.expanduser(path)), "a calibration")
    else:
        kept = [read_json_as(Calibration, file, "a calibration") for file in sorted(RESOURCES.glob(CALIBRATIONS))]
        known = [calibration for calibration in kept if model in calibration.models]
        if not known:
            raise UserError(
                f"config: visibility.calibration: none is kept for the model {model!r}; "
                "fit one with `contrastive-concepts calibrate` and name its file"
            )
        found = known[0]
    if found.contexts_sha256 != contexts_sha256() or len(found.weights) != len(load_contexts()):
        raise UserError(
            f"{path or model}: the calibration was fitted to other contexts than likelihood.txt's; fit it anew"
        )
    return found


def likelihood_answer(word: str, log_likelihoods: Sequence[float], calibration: Calibration) -> Answer:
    """The verdict on a word. Its `answer` is the log-odds."""
    return answer_of(word, calibration.log_odds(log_likelihoods))
