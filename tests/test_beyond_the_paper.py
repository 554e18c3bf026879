"""Options beyond the paper: association measures, redundancy, a cap; each against loops, and off by default."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from contrastive_concepts.config.contrastive_sets import DictionarySet
from contrastive_concepts.config.load import parse_config
from contrastive_concepts.config.selection import SelectionSettings
from contrastive_concepts.cooccurrence.matrix import count_captions
from contrastive_concepts.errors import UserError
from contrastive_concepts.selection.association import associate, lift, log_p_value, npmi
from contrastive_concepts.selection.candidates import find_candidates
from contrastive_concepts.selection.pruning import CAPPED, REDUNDANT, not_redundant, prune
from tests.synthetic_tables import CAPTIONS, CONCEPTS, NAMES, association, count, lists, mentions, tables, unit_vectors


@pytest.mark.parametrize("seed", range(5))
def test_lift_and_npmi_are_what_sets_of_captions_say(seed: int) -> None:
    found = mentions(seed)
    matrix = count(found)
    plain = find_candidates(matrix, NAMES, 0.01, [])
    for measure, least in (("lift", 1.2), ("npmi", 0.05)):
        table = associate(plain, matrix, CAPTIONS, association(measure=measure, at_least=least))
        assert table.height == plain.height
        for row in table.iter_rows(named=True):
            one, other = found[row["concept_id"]], found[row["candidate_id"]]
            p_one, p_other, p_both = one.mean(), other.mean(), (one & other).mean()
            expected = p_both / (p_one * p_other)
            if measure == "npmi":
                expected = math.log(expected) / -math.log(p_both)
            assert row["association"] == pytest.approx(expected, rel=1e-9, abs=1e-12)
            if abs(expected - least) > 1e-9:
                assert row["associated"] == (expected >= least)


def test_the_scores_at_their_ends() -> None:
    values = [np.array([number]) for number in (10, 10, 10)]
    assert lift(*values, 1000)[0] == pytest.approx(100)
    assert npmi(*values, 1000)[0] == pytest.approx(1)
    assert npmi(*values, 10)[0] == 0
    assert lift(np.array([5]), np.array([50]), np.array([100]), 1000)[0] == pytest.approx(1)
    assert npmi(np.array([5]), np.array([50]), np.array([100]), 1000)[0] == pytest.approx(0)
    assert log_p_value(np.array([5]), np.array([50]), np.array([100]), 1000)[0] == pytest.approx(math.log(0.5))
    # Numbers of LAION-400M's size neither overflow nor lose the sign.
    large = log_p_value(*(np.array([number], np.int64) for number in (3_000_000, 9_000_000, 40_000_000)), 413_000_000)
    assert large[0] < -1e5


@pytest.mark.parametrize("seed", range(3))
def test_the_test_agrees_with_the_tables_of_scipy_and_near_the_exact_one(seed: int) -> None:
    found = mentions(seed)
    for i in range(0, CONCEPTS - 1, 3):
        for j in range(i + 1, CONCEPTS - 1, 2):
            one, other = found[i], found[j]
            both = int((one & other).sum())
            cells = [[both, int((one & ~other).sum())], [int((~one & other).sum()), int((~one & ~other).sum())]]
            mine = log_p_value(np.array([both]), np.array([one.sum()]), np.array([other.sum()]), CAPTIONS)[0]
            _, two_sided, *_ = stats.chi2_contingency(cells, correction=False, lambda_="log-likelihood")
            above = both * CAPTIONS >= one.sum() * other.sum()
            assert math.exp(mine) == pytest.approx(two_sided / 2 if above else 1 - two_sided / 2, rel=1e-6)
            exact = stats.hypergeom(CAPTIONS, int(one.sum()), int(other.sum()))
            if stats.contingency.expected_freq(cells).min() >= 5:
                # Fisher's p, with half of the observed outcome (mid-p): what a continuous test approximates.
                assert math.exp(mine) == pytest.approx(exact.sf(both) + 0.5 * exact.pmf(both), abs=0.05)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [0.001, 0.05, 0.3])
def test_discoveries_are_those_of_scipys_procedure_over_all_pairs(seed: int, rate: float) -> None:
    found = mentions(seed)
    matrix = count(found)
    p = {}
    named = [number for number in range(CONCEPTS) if found[number].any()]
    for place, i in enumerate(named):
        for j in named[place + 1 :]:
            both = np.array([(found[i] & found[j]).sum()])
            met = log_p_value(both, np.array([found[i].sum()]), np.array([found[j].sum()]), CAPTIONS)
            p[i, j] = math.exp(met[0]) if both[0] else 1.0
    adjusted = dict(zip(p, stats.false_discovery_control(list(p.values()), method="bh"), strict=True))
    table = associate(
        find_candidates(matrix, NAMES, 0.0, []),
        matrix,
        CAPTIONS,
        association(measure="significance", false_discovery=rate),
    )
    for i, j, passed in table.select("concept_id", "candidate_id", "associated").iter_rows():
        assert passed == (adjusted[min(i, j), max(i, j)] <= rate)
    assert table.filter((pl.col("concept_id") == 2) & (pl.col("candidate_id") == 1))["associated"].item()


def test_chance_alone_is_seldom_a_discovery() -> None:
    passed = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        matrix = count(random.random((CONCEPTS, 3000)) < random.uniform(0.05, 0.3, (CONCEPTS, 1)))
        candidates = find_candidates(matrix, NAMES, 0.01, [])
        passed += bool(associate(candidates, matrix, 3000, association(measure="significance"))["associated"].any())
    # Where nothing is associated, a run in twenty has any discovery at all; five or more of twenty: p = 0.003.
    assert passed < 5


@pytest.mark.parametrize("measure", ["lift", "npmi", "significance"])
def test_a_word_of_every_caption_is_everyones_neighbour_no_longer(measure: str) -> None:
    source = tables(1)
    plain = lists(source, SelectionSettings(), filters=[])
    chosen = lists(source, SelectionSettings(), filters=[], association=association(measure=measure))
    listed = sum("c0" in group for group in plain.values())
    assert listed > CONCEPTS / 2
    assert sum("c0" in group for group in chosen.values()) < listed * 0.7
    assert "c1" in chosen["c2"]


def test_the_number_of_captions_must_be_known_and_possible() -> None:
    matrix = count(mentions(0))
    candidates = find_candidates(matrix, NAMES, 0.01, [])
    for captions in (None, 100):
        with pytest.raises(UserError, match=rf"association\.captions: found {captions}, expected at least \d+"):
            associate(candidates, matrix, captions, association(measure="lift"))
    told = associate(candidates, matrix, 100, association(measure="lift", captions=CAPTIONS))
    assert told.equals(associate(candidates, matrix, CAPTIONS, association(measure="lift")))
    statistics = pl.DataFrame({"rows": [10, 5], "null": [1, 0], "empty": [0, 2], "gigantic": [1, 0], "matched": [3, 3]})
    assert count_captions(statistics) == 11


def pairs(sizes: list[int]) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = [
        (NAMES[i], NAMES[(i + 1 + place) % CONCEPTS], 9, 0.5, 0.1, place + 1)
        for i, size in enumerate(sizes)
        for place in range(size)
    ]
    columns = ["concept", "contrastive_concept", "cooccurrences", "frequency", "similarity"]
    kinds = [pl.String, pl.String, pl.Int64, pl.Float64, pl.Float32]
    kept = pl.DataFrame(rows, dict(zip([*columns, "rank"], [*kinds, pl.Int32], strict=True)), orient="row")
    rejected = [(NAMES[0], "photo", 3, 0.2, 0.1, "stop-list")]
    return kept, pl.DataFrame(rejected, dict(zip([*columns, "reason"], [*kinds, pl.String], strict=True)), orient="row")


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(0, CONCEPTS - 1), min_size=1, max_size=8),
    seed=st.integers(0, 1000),
    redundancy=st.one_of(st.none(), st.floats(0, 1)),
    most=st.one_of(st.none(), st.integers(1, 12)),
)
def test_pruned_lists(sizes: list[int], seed: int, redundancy: float | None, most: int | None) -> None:
    kept, rejected = pairs(sizes)
    vectors = unit_vectors(seed)
    left, gone = prune(kept, rejected, NAMES, vectors, redundancy, most)
    assert left.height + gone.height == kept.height + rejected.height
    assert (left.columns, gone.columns) == (kept.columns, rejected.columns)
    if redundancy is None and most is None:
        assert left is kept
        assert gone is rejected
    for concept in kept["concept"].unique():
        ranked = kept.filter(pl.col("concept") == concept)["contrastive_concept"].to_list()
        expected: list[str] = []
        reasons: dict[str, str] = {}
        for name in ranked:
            near = [float(np.float32(vectors[NAMES.index(name)] @ vectors[NAMES.index(n)])) for n in expected]
            if redundancy is not None and any(cosine >= np.float32(redundancy) for cosine in near):
                reasons[name] = REDUNDANT
            else:
                expected.append(name)
        if most is not None:
            reasons |= dict.fromkeys(expected[most:], CAPPED)
            expected = expected[:most]
        own = left.filter(pl.col("concept") == concept)
        assert own["contrastive_concept"].to_list() == expected
        assert own["rank"].to_list() == list(range(1, len(expected) + 1))
        removed = gone.filter((pl.col("concept") == concept) & (pl.col("reason") != "stop-list"))
        assert dict(removed.select("contrastive_concept", "reason").iter_rows()) == reasons


@given(seed=st.integers(0, 1000), threshold=st.floats(-1, 1))
def test_no_two_that_stay_are_near_and_each_that_goes_is(seed: int, threshold: float) -> None:
    vectors = unit_vectors(seed, 30)
    stays = not_redundant(vectors, threshold)
    near = vectors @ vectors.T >= np.float32(threshold)
    assert stays[0]
    for place in range(30):
        assert stays[place] == (not near[place, :place][stays[:place]].any())


@pytest.mark.parametrize("seed", range(3))
def test_a_cap_keeps_the_strongest(seed: int) -> None:
    source = tables(seed)
    for change in ({}, {"association": association(measure="npmi", at_least=-1)}):
        whole = lists(source, SelectionSettings(), **change)
        for most in (1, 3, 100):
            capped = lists(source, SelectionSettings(), max_concepts=most, **change)
            assert capped == {concept: group[:most] for concept, group in whole.items()}
    # With the threshold at its end the measure drops nothing; it only ranks.
    plain = lists(source, SelectionSettings())
    ranked = lists(source, SelectionSettings(), association=association(measure="npmi", at_least=-1))
    assert {name: sorted(group) for name, group in plain.items()} == {
        name: sorted(group) for name, group in ranked.items()
    }
    assert plain != ranked


def test_a_set_takes_the_runs_options_or_its_own() -> None:
    source = tables(2)
    options: dict[str, Any] = {
        "association": association(measure="lift", at_least=1.1),
        "redundancy": 0.9,
        "max_concepts": 4,
    }
    run = SelectionSettings(**options)
    assert lists(source, run) == lists(source, SelectionSettings(), **options)
    assert lists(source, run, max_concepts=2) != lists(source, run)
    assert lists(source, SelectionSettings()) != lists(source, run)


def test_off_in_the_papers_configuration_and_no_column_of_the_papers_tables() -> None:
    plain = SelectionSettings()
    assert (plain.association, plain.redundancy, plain.max_concepts) == (None, None, None)
    assert DictionarySet(kind="dictionary").default_column == "CC_D"
    for change in ({"max_concepts": 5}, {"redundancy": 0.9}, {"association": {"measure": "lift"}}):
        for more in ({}, {"filters": []}, {"background": False}):
            assert DictionarySet.model_validate({"kind": "dictionary", **change, **more}).default_column is None
        assert not DictionarySet.model_validate({"kind": "dictionary", **change}).is_published


@pytest.mark.parametrize("captions", [None, 413_000_000])
def test_a_concept_index_needs_the_number_of_captions(captions: int | None) -> None:
    config = {
        "run": "test",
        "captions": {"source": "concept_index", "index": "a.json"},
        "vocabulary": {"source": "index"},
        "visibility": {"judge": "embedding"},
        "similarity": {"encoder": "sentence_transformers", "model": "unused"},
        "selection": {"association": {"measure": "npmi", "captions": captions}},
    }
    if captions:
        assert parse_config(config).selection.association is not None
    else:
        with pytest.raises(UserError, match=r"selection\.association\.captions: found null, expected the number"):
            parse_config(config)
