"""What contrastive concepts gain over "background" for each class, which negatives took the class's own pixels, and
what could have told so before any image was seen."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import rankdata, spearmanr

from contrastive_concepts.config.selection import BACKGROUND
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet
from contrastive_concepts.evaluation.metrics import Counts, Ratios, ratio, resampled

Vectors = Mapping[str, np.ndarray[Any, np.dtype[np.float32]]]
"""Text -> unit vector [D]."""
PERCENT = 100
MANY, SCENE, NEAR = 1 / 3, 1 / 4, 0.95
"""Many texts: the first took less than this share of what all took. Scene word: more than this share of the queries has
the text in its list. Near: the cosine is at or above this quantile of those of all queries and their negatives."""
CAUSES = {
    "many texts": 'no text took a third of what all but "background" took',
    "a word of the name": "the text and the class share a word",
    "near": f"the cosine is among the highest {round((1 - NEAR) * 100)} % of all classes and their negatives",
    "scene word": "the text is in the lists of more than a quarter of the classes",
    "seen with it": "none of these: the text is what captions mention with the class",
}
"""The causes in the order in which they are looked for."""
PREDICTORS = {
    "nearest": "cosine of the nearest negative",
    "negatives": "number of negatives",
    "captions": "captions that name the class",
    "p_visible": "P(visible) of the class",
}
GAINS: dict[str, type[pl.DataType]] = {
    "class": pl.String,
    "images": pl.Int64,
    **dict.fromkeys(
        ("background", "contrastive", "gain", "low", "high", "lower_images", "removed", "lost"), pl.Float64
    ),
    "negatives": pl.Int64,
    "nearest": pl.Float64,
    "captions": pl.Int64,
    "p_visible": pl.Float64,
    "taker": pl.String,
    "taker_share": pl.Float64,
    "taker_similarity": pl.Float64,
    "cause": pl.String,
}


@dataclass(frozen=True)
class Facts:
    """What is known of the classes before any image is seen.

    vectors: of queries and negatives, in the segmenter's text space. captions, visible: class -> number of captions
    that name its concept, and P(visible)."""

    contrastive_set: ContrastiveSet
    vectors: Vectors
    captions: Mapping[str, int]
    visible: Mapping[str, float | None]


def read_facts(
    contrastive_set: ContrastiveSet, texts: Path, queries: Path | None = None, concepts: Path | None = None
) -> Facts:
    """texts: file of `texts.TextRows`. queries: query, concept; concepts: the dictionary's, if it is known."""
    table = pl.read_parquet(texts)
    vectors = dict(zip(table["text"].to_list(), table["vector"].to_numpy(), strict=True))
    captions: dict[str, int] = {}
    visible: dict[str, float | None] = {}
    if queries is not None and concepts is not None:
        known = pl.read_parquet(queries, columns=["query", "concept"]).join(
            pl.read_parquet(concepts, columns=["concept", "count", "p_visible"]), "concept"
        )
        captions = dict(known.select("query", "count").iter_rows())
        visible = dict(known.select("query", "p_visible").iter_rows())
    return Facts(contrastive_set, vectors, captions, visible)


def class_gains(
    contrastive: tuple[Counts, Counts],
    background: tuple[Counts, Counts],
    classes: Sequence[str],
    taken: pl.DataFrame,
    facts: Facts,
    draws: int = 1000,
) -> pl.DataFrame:
    """A row for each class that an image shows, in percent and percentage points.

    contrastive, background: intersections and unions of IoU-single, int64 [n, C], of the same images. taken: query,
    concept, own: pixels of the queried class that a negative took. removed, lost: pixels of others and of its own that
    the query gets against "background" and not against the contrastive concepts, as shares of the union against
    "background". lower_images: share of the images that show the class where its IoU is lower. taker: the negative that
    took most of the class's own pixels, with its share of what all negatives but "background" took."""
    shown = np.flatnonzero(contrastive[1].sum(0)).tolist()
    queries = [classes[label] for label in shown]
    values = [PERCENT * ratio(i.sum(0), u.sum(0)) for i, u in (contrastive, background)]
    totals = resampled([*contrastive, *background], draws)
    samples = PERCENT * (ratio(totals[0], totals[1]) - ratio(totals[2], totals[3]))
    by_image = ratio(*contrastive) - ratio(*background)
    lists = {query: facts.contrastive_set.negatives(query, classes) for query in queries}
    spread = Counter(text for listed in lists.values() for text in listed)
    cosines = {query: _cosines(query, listed, facts.vectors) for query, listed in lists.items()}
    everything = np.concatenate([*cosines.values(), np.zeros(0)])
    near = float(np.quantile(everything, NEAR)) if len(everything) else 1.0
    rows = []
    for label, query in zip(shown, queries, strict=True):
        similar = dict(zip(lists[query], cosines[query].tolist(), strict=True))
        low, high = np.nanpercentile(samples[:, label], [2.5, 97.5])
        own = taken.filter((pl.col("query") == query) & (pl.col("concept") != BACKGROUND)).sort("own", "concept")
        most = own.row(-1, named=True) if own.height and own["own"][-1] else None
        cause = None
        if most is not None:
            cause = _cause(
                query, most["concept"], most["own"] / own["own"].sum(), similar, near, spread, SCENE * len(queries)
            )
        both, union = (int(counts[:, label].sum()) for counts in background)
        new_both, new_union = (int(counts[:, label].sum()) for counts in contrastive)
        rows.append(
            {
                "class": query,
                "images": int((contrastive[1][:, label] > 0).sum()),
                "background": values[1][label],
                "contrastive": values[0][label],
                "gain": values[0][label] - values[1][label],
                "low": low,
                "high": high,
                "lower_images": PERCENT * float((by_image[:, label] < 0).sum() / (contrastive[1][:, label] > 0).sum()),
                # The pixels of the class are in both unions: what a union loses is of others.
                "removed": PERCENT * (union - new_union) / union,
                "lost": PERCENT * (both - new_both) / union,
                "negatives": len([text for text in lists[query] if text != BACKGROUND]),
                "nearest": max((cosine for text, cosine in similar.items() if text != BACKGROUND), default=None),
                "captions": facts.captions.get(query),
                "p_visible": facts.visible.get(query),
                "taker": None if most is None else most["concept"],
                "taker_share": None if most is None else PERCENT * most["own"] / int(own["own"].sum()),
                "taker_similarity": None if most is None else similar.get(most["concept"]),
                "cause": cause,
            }
        )
    return pl.DataFrame(rows, GAINS)


def _cosines(query: str, texts: Sequence[str], vectors: Vectors) -> Ratios:
    return np.array([float(vectors[query] @ vectors[text]) for text in texts])


def _cause(
    query: str, text: str, share: float, similar: Mapping[str, float], near: float, spread: Counter[str], scene: float
) -> str:
    found = {
        "many texts": share < MANY,
        "a word of the name": bool({*query.lower().split()} & {*text.lower().split()}),
        "near": similar.get(text, 0.0) >= near,
        "scene word": spread[text] > scene,
        "seen with it": True,
    }
    return next(cause for cause in CAUSES if found[cause])


@dataclass(frozen=True)
class Explained:
    """How one predictor orders the classes by gain: Spearman's rank correlation, its p-value, the number of classes."""

    predictor: str
    correlation: float
    p: float
    classes: int


def predictors(gains: pl.DataFrame) -> list[Explained]:
    """Each predictor alone, over the classes for which it is known; none with fewer than four, or the same for all."""
    rows = []
    for name in PREDICTORS:
        known = gains.filter(pl.col(name).is_not_null() & pl.col("gain").is_not_nan())
        if known.height >= 4 and known[name].n_unique() > 1:
            correlation, p = spearmanr(known[name].to_numpy(), known["gain"].to_numpy())
            rows.append(Explained(name, float(correlation), float(p), known.height))
    return rows


def explained_variance(gains: pl.DataFrame) -> float | None:
    """Share of the variance of the gains that all predictors together explain for a class that was left out.

    A linear model of the predictors' ranks, each class predicted from the others; below 0 it is worse than their mean.
    None with fewer than three classes a predictor."""
    names = [each.predictor for each in predictors(gains)]
    known = gains.drop_nulls(names).filter(pl.col("gain").is_not_nan())
    if not names or known.height < 3 * (len(names) + 1):
        return None
    ranks = np.stack([rankdata(known[name].to_numpy()) for name in names], axis=1)
    inputs = np.column_stack([np.ones(known.height), ranks / known.height])
    gain = known["gain"].to_numpy()
    # The error for a class left out follows from the error with it and its leverage.
    hat = inputs @ np.linalg.pinv(inputs)
    errors = (gain - hat @ gain) / (1 - np.diag(hat))
    count = known.height
    alone = (gain - gain.mean()) * count / (count - 1)
    return float(1 - (errors**2).sum() / (alone**2).sum())


def losing(gains: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """The classes whose IoU is lower, the largest loss first."""
    yield from gains.filter(pl.col("gain") < 0).sort("gain").iter_rows(named=True)
