"""Beyond the paper: how much more two concepts meet than chance alone would let them; off by default."""

from typing import Any

import numpy as np
import polars as pl
from scipy import sparse
from scipy.special import rel_entr
from scipy.stats import norm

from contrastive_concepts.config.selection import AssociationSettings
from contrastive_concepts.errors import UserError

Counts = np.ndarray[tuple[int], np.dtype[Any]]
Scores = np.ndarray[tuple[int], np.dtype[np.float64]]


def associate(
    candidates: pl.DataFrame, matrix: sparse.csr_array, captions: int | None, settings: AssociationSettings
) -> pl.DataFrame:
    """Add `association` (float64) and `associated` (is it enough?); the strongest first within a concept.

    candidates: as `find_candidates` gives them. captions: N, the number of captions X was counted in; `settings` may
    tell another. association is the lift, the NPMI, or -ln p of the test. Raises UserError where N is not known, or
    less than X itself shows.
    """
    alone = matrix.diagonal()
    captions = _checked(settings.captions or captions, matrix)
    both = candidates["cooccurrences"].to_numpy()
    one, other = alone[candidates["concept_id"].to_numpy()], alone[candidates["candidate_id"].to_numpy()]
    if settings.measure == "lift":
        score = lift(both, one, other, captions)
        enough = score >= settings.at_least
    elif settings.measure == "npmi":
        score = npmi(both, one, other, captions)
        enough = score >= settings.at_least
    else:
        log_p = log_p_value(both, one, other, captions)
        score, enough = -log_p, log_p <= _largest_discovery(matrix, captions, settings.false_discovery)
    return candidates.with_columns(
        pl.Series("association", score, pl.Float64), pl.Series("associated", enough, pl.Boolean)
    ).sort("concept_id", "association", descending=[False, True], maintain_order=True)


def lift(both: Counts, one: Counts, other: Counts, captions: int) -> Scores:
    """P(i, j) / (P(i) P(j)): 1 where the two are independent."""
    return np.asarray(both * (captions / one) / other, np.float64)


def npmi(both: Counts, one: Counts, other: Counts, captions: int) -> Scores:
    """ln(lift) / -ln P(i, j), in [-1, 1]; 0 for two concepts that every caption names (Bouma 2009)."""
    surprise = -np.log(both / captions)
    information = np.log(lift(both, one, other, captions))
    return np.divide(information, surprise, out=np.zeros(len(surprise)), where=surprise > 0)


def log_p_value(both: Counts, one: Counts, other: Counts, captions: int) -> Scores:
    """ln p of meeting so often by chance, one-sided: the signed root of Dunning's log-likelihood ratio (1993)."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    observed = (both, one - both, other - both, captions - one - other + both)
    rest_one, rest_other = captions - one, captions - other
    expected = (one * other, one * rest_other, rest_one * other, rest_one * rest_other)
    ratio = sum(rel_entr(o, e / captions) for o, e in zip(observed, expected, strict=True))
    root = np.sqrt(2 * np.maximum(ratio, 0))
    return np.asarray(norm.logsf(np.where(both * captions >= one * other, root, -root)), np.float64)


def _largest_discovery(matrix: sparse.csr_array, captions: int, rate: float) -> float:
    """The largest ln p that Benjamini and Hochberg's procedure admits among all pairs of concepts that captions name.

    Pairs that never meet are tested too, with p = 1."""
    alone = matrix.diagonal()
    pairs = sparse.coo_array(sparse.triu(matrix, k=1))
    met = pairs.data > 0
    i, j = (axis[met] for axis in pairs.coords)
    log_p = np.sort(log_p_value(pairs.data[met], alone[i], alone[j], captions))
    named = int((alone > 0).sum())
    bound = np.log(rate * np.arange(1, len(log_p) + 1) / max(named * (named - 1) / 2, 1))
    passed = np.flatnonzero(log_p <= bound)
    return float(log_p[passed[-1]]) if len(passed) else -np.inf


def _checked(captions: int | None, matrix: sparse.csr_array) -> int:
    alone = matrix.diagonal()
    pairs = sparse.coo_array(matrix)
    i, j = pairs.coords
    least = int(np.max(alone[i] + alone[j] - pairs.data, initial=0))
    if captions is None or captions < least:
        raise UserError(f"association.captions: found {captions}, expected at least {least}, as X shows")
    return captions
