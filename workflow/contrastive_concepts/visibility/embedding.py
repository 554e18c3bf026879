"""The embedding judge: a text encoder's vectors of a word, mapped to P(visible) by a regression on human ratings.

Something that one can see is concrete, and sentence encoders place concrete words apart from abstract ones. Each word
is encoded bare and in a few frames ("the idea of ..."), because a frame that does not fit a word moves its vector.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from contrastive_concepts.config.visibility import EmbeddingJudge
from contrastive_concepts.encoders import Embeddings, normalise
from contrastive_concepts.encoders.configured import build_encoder
from contrastive_concepts.encoders.text import TextEncoder, encoder_name
from contrastive_concepts.errors import UserError
from contrastive_concepts.resources import RESOURCES
from contrastive_concepts.text_files import read_json_as
from contrastive_concepts.visibility.answers import Answer, AnswerKey, answer_of
from contrastive_concepts.visibility.prompts import SLOT, text_sha256

CALIBRATIONS = "calibrations/embedding/*.json"
WORDS_AT_A_TIME = 512


class EmbeddingCalibration(BaseModel):
    """Maps the vectors of one encoder to P(visible). Fitted on human ratings (see `calibration`).

    encoders: names of the encoder. frames: texts with a slot `{q}`. weights: for each frame one weight per dimension of
    its unit vector. intercept: log-odds of a word whose vectors are zero. `fitted_on` and `agreement` are for readers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoders: list[str]
    weights_sha256: str
    frames: list[str]
    weights: list[list[float]]
    intercept: float
    fitted_on: str = ""
    agreement: dict[str, dict[str, float]] = {}

    @property
    def sha256(self) -> str:
        """Hash of the frames, weights and intercept: all that a probability depends on, except the encoder."""
        return text_sha256(f"{self.frames} {self.weights} {self.intercept}")

    def log_odds(self, features: Embeddings) -> list[float]:
        """log(P / (1 - P)) of each word from its vectors in all frames, float32 [n, frames * dimension]."""
        weights = np.concatenate([np.array(row) for row in self.weights])
        return [float(value) for value in features.astype(np.float64) @ weights + self.intercept]


class EncodedJudge:
    """Judges by the vectors of a text encoder. The encoder is loaded at the first word that has no answer yet."""

    def __init__(self, settings: EmbeddingJudge) -> None:
        self._settings = settings

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Does nothing: the encoder may be used again, to measure similarity."""

    @property
    def name(self) -> str:
        """The encoder's name, as stored with the answers."""
        return encoder_name(self._settings.encoder)

    @cached_property
    def encoder(self) -> TextEncoder:
        """The loaded encoder."""
        return build_encoder(self._settings.encoder, "visibility.encoder")

    @property
    def answer_key(self) -> AnswerKey:
        """`revision` is a hash of the encoder's weights, `prompt_hash` one of the frames and the regression."""
        calibration = self._calibration
        return AnswerKey("embedding", self.name, calibration.weights_sha256[:16], calibration.sha256, "{}")

    def ask(self, words: Sequence[str]) -> Iterator[list[Answer]]:
        """Answers in batches. `answer` is the log-odds. Raises UserError if the encoder is not the calibration's."""
        calibration = self._calibration
        if words and self.encoder.weights_sha256 != calibration.weights_sha256:
            raise UserError(
                f"config: visibility.calibration: fitted to an encoder with weights {calibration.weights_sha256[:16]}, "
                f"found {self.encoder.weights_sha256[:16]} in {self.name}: fit another with `contrastive-concepts "
                "calibrate`"
            )
        width = len(calibration.weights[0])
        if words and self.encoder.dimension != width:
            raise UserError(
                f"config: visibility.calibration: found {width} weights for each frame, expected "
                f"{self.encoder.dimension} for {self.name}"
            )
        for start in range(0, len(words), WORDS_AT_A_TIME):
            batch = words[start : start + WORDS_AT_A_TIME]
            found = calibration.log_odds(self.features(batch, calibration.frames))
            yield [answer_of(word, log_odds) for word, log_odds in zip(batch, found, strict=True)]

    def features(self, words: Sequence[str], frames: Sequence[str]) -> Embeddings:
        """float32 [n, frames * dimension]: the unit vectors of each word in each frame, side by side."""
        texts = [frame.replace(SLOT, word) for word in words for frame in frames]
        return normalise(self.encoder.encode(texts)).reshape(len(words), -1)

    @cached_property
    def _calibration(self) -> EmbeddingCalibration:
        """The file of the settings, or the one kept for the encoder's name or for its weights."""
        if self._settings.calibration is not None:
            return _read(Path(os.path.expanduser(self._settings.calibration)))
        kept = [_read(file) for file in sorted(RESOURCES.glob(CALIBRATIONS))]
        for calibration in kept:
            if self.name in calibration.encoders:
                return calibration
        for calibration in kept:
            if self.encoder.weights_sha256 == calibration.weights_sha256:
                return calibration
        raise UserError(
            f"config: visibility.calibration: none is kept for the encoder {self.name!r}; "
            "fit one with `contrastive-concepts calibrate` and name its file"
        )


def _read(path: Path) -> EmbeddingCalibration:
    found = read_json_as(EmbeddingCalibration, path, "a calibration of an encoder")
    if len(found.frames) != len(found.weights) or len({len(row) for row in found.weights}) != 1:
        raise UserError(f"{path}: found {len(found.weights)} rows of weights, expected one for each of its frames")
    return found
