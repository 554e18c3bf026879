"""Contrastive sets: the texts that a query is contrasted with (paper 3.2-3.6, 4.3), in memory and as files."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from contrastive_concepts.config.contrastive_sets import (
    BackgroundSet,
    BackgroundWordsSet,
    BoostedBackgroundSet,
    CcTextSet,
    ContrastiveSetSettings,
    DictionarySet,
    EmptySet,
    ImageOracleSet,
    ListSet,
    NamesSet,
    NoneSet,
    OracleSet,
    PseudoSet,
    VocabularySet,
)
from contrastive_concepts.config.selection import BACKGROUND, BETA
from contrastive_concepts.dictionary.class_names import Separator, read_class_names
from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.selection.union import far_from_queries
from contrastive_concepts.text_files import read_lines
from contrastive_concepts.visibility.cc_text import read_cc_text

NEAREST = 10
"""A concept is replaced by one of this many whose numbers of captions are nearest to its own."""
SYLLABLES = tuple(consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou")
SYLLABLES_A_WORD = 3


@dataclass(frozen=True)
class ContrastiveSet:
    """The negatives of each query.

    concepts: query -> negatives; a missing query is an error. background: "background" is added in front.
    present_only: use only the negatives that are classes in the image (per-image oracle). original: the segmenter's own
    background handling is switched on too. names: query -> the texts that count for it; a query that is not in it is
    its own text. verbatim: the negatives come before the queries' texts, in the same order for all queries, and nothing
    is dropped: not a text that is also a query's, nor one near a query. boost: added to the cosine of "background" if
    that is a negative."""

    name: str
    concepts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    background: bool = False
    present_only: bool = False
    original: bool = False
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    verbatim: bool = False
    boost: float = 0.0

    def names_of(self, query: str) -> tuple[str, ...]:
        """The texts that count for a query."""
        return tuple(self.names.get(query, (query,)))

    def negatives(self, query: str, present: Sequence[str] = ()) -> tuple[str, ...]:
        """The distinct negatives in order, without the query's own texts."""
        listed: Sequence[str] = ()
        if self.concepts:
            if query not in self.concepts:
                raise UserError(f"contrastive set {self.name!r}: query {query!r} is missing, expected its concepts")
            listed = self.concepts[query]
        if self.present_only:
            listed = [name for concept in listed if concept in present for name in self.names_of(concept)]
        if self.verbatim:
            return tuple(listed)
        both = [BACKGROUND, *listed] if self.background else listed
        own = self.names_of(query)
        return tuple(text for text in dict.fromkeys(both) if text not in own)


def none(original: bool = False) -> ContrastiveSet:
    """The query alone. Every pixel belongs to the query, unless the segmenter has its own background handling."""
    return ContrastiveSet("original" if original else "none", original=original)


def background_only(original: bool = False) -> ContrastiveSet:
    return ContrastiveSet("bg", background=True, original=original)


def from_mapping(
    name: str, concepts: Mapping[str, Sequence[str]], background: bool = False, original: bool = False
) -> ContrastiveSet:
    """A set from lists of negatives by query, such as CC^D or CC^L. Empty texts are left out."""
    listed = {query: tuple(filter(None, texts)) for query, texts in concepts.items()}
    return ContrastiveSet(name, listed, background, original=original)


def empty_text(queries: Sequence[str], background: bool = False) -> ContrastiveSet:
    """A control: the empty text as negative."""
    return ContrastiveSet("empty", dict.fromkeys(queries, ("",)), background)


def oracle(classes: Sequence[str], background: bool = False) -> ContrastiveSet:
    """All other classes of the data set, without its class "background" (paper 4.3)."""
    return ContrastiveSet("oracle", _others(classes), background)


def image_oracle(classes: Sequence[str], background: bool = False) -> ContrastiveSet:
    """The other classes that the image shows, including the data set's background class."""
    shown = {
        query: (*others, *(name for name in classes if name == BACKGROUND))
        for query, others in _others(classes).items()
    }
    return ContrastiveSet("image_oracle", shown, background, present_only=True)


def random_control(
    like: ContrastiveSet,
    vocabulary: Sequence[str],
    seed: int = 0,
    name: str = "random",
    counts: Mapping[str, int] | None = None,
) -> ContrastiveSet:
    """The same number of negatives for each query as in `like`, drawn without replacement from a vocabulary.

    counts: the number of captions of each word. If given, each negative is replaced by one of the `NEAREST` other words
    that occur in most nearly as many captions. Raises UserError if the vocabulary is too small."""
    drawn = {}
    for query in like.concepts:
        own = (*like.names_of(query), BACKGROUND)
        pool = [text for text in dict.fromkeys(vocabulary) if text not in own]
        replaced = [text for text in like.negatives(query) if text != BACKGROUND]
        # With counts, one more: a negative is not replaced by itself.
        expected = len(replaced) + (counts is not None)
        if expected > len(pool):
            raise UserError(f"random control: found {len(pool)} words, expected {expected} or more for {query!r}")
        # The seed includes the query, so that an additional query does not change the draws of the others.
        stream = random.Random(f"{seed}:{query}")
        drawn[query] = tuple(
            stream.sample(pool, len(replaced)) if counts is None else _as_frequent(replaced, pool, counts, stream)
        )
    return ContrastiveSet(name, drawn, like.background, original=like.original, names=like.names)


def _as_frequent(
    replaced: Sequence[str], pool: Sequence[str], counts: Mapping[str, int], stream: random.Random
) -> list[str]:
    """For each text another word of the pool that is about as frequent, without replacement."""
    # A concept that no caption mentions counts as if one did.
    logarithms = np.log(np.maximum([counts[word] for word in pool], 1))
    row = {word: number for number, word in enumerate(pool)}
    free = np.ones(len(pool), bool)
    drawn: list[str] = []
    for text in replaced:
        distance = np.where(free, np.abs(logarithms - np.log(max(counts[text], 1))), np.inf)
        if text in row:
            distance[row[text]] = np.inf
        nearest = np.argsort(distance, kind="stable")[:NEAREST]
        chosen = stream.choice(nearest[np.isfinite(distance[nearest])].tolist())
        free[chosen] = False
        drawn.append(pool[chosen])
    return drawn


def pseudo_control(
    like: ContrastiveSet, vocabulary: Sequence[str], seed: int = 0, name: str = "pseudo"
) -> ContrastiveSet:
    """The same number of negatives for each query as in `like`: words of random syllables that mean nothing.

    None of them is in the vocabulary, not even as a part of a phrase."""
    meaningful = {word for text in (*vocabulary, *like.concepts) for word in text.casefold().split()}
    made: dict[str, tuple[str, ...]] = {}
    for query in like.concepts:
        size = len([text for text in like.negatives(query) if text != BACKGROUND])
        stream = random.Random(f"{seed}:{query}")
        words: dict[str, None] = {}
        while len(words) < size:
            word = "".join(stream.choices(SYLLABLES, k=SYLLABLES_A_WORD))
            if word not in meaningful:
                words[word] = None
        made[query] = tuple(words)
    return ContrastiveSet(name, made, like.background, original=like.original, names=like.names)


def union(
    contrastive_set: ContrastiveSet, queries: Sequence[str], embeddings: Mapping[str, Embeddings], beta: float = BETA
) -> tuple[str, ...]:
    """CC_Q of several queries (paper 3.6): the union of their negatives without those above beta to any query.

    embeddings: text -> unit vector [D]. "background" is filtered in the same way."""
    texts = dict.fromkeys(text for query in queries for text in contrastive_set.negatives(query, queries))
    own = list(dict.fromkeys(name for query in queries for name in contrastive_set.names_of(query)))
    negatives = [text for text in texts if text not in own]
    if not negatives:
        return ()
    vectors = np.stack([embeddings[text] for text in negatives])
    stays = far_from_queries(vectors, np.stack([embeddings[name] for name in own]), beta)
    return tuple(text for text, far in zip(negatives, stays, strict=True) if far)


def _others(classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    named = [name for name in classes if name != BACKGROUND]
    return {query: tuple(name for name in named if name != query) for query in named}


def resolve(
    name: str,
    settings: ContrastiveSetSettings,
    classes: Sequence[str],
    queries: Sequence[str],
    lists: Mapping[str, Sequence[str]] | None = None,
    text: Path | None = None,
    like: ContrastiveSet | None = None,
    words: Sequence[str] = (),
    synonyms: Path | None = None,
    counts: Mapping[str, int] | None = None,
) -> ContrastiveSet:
    """The contrastive set of one data set. classes: names by label. queries: names of the classes to segment.

    lists: query -> concepts, from a dictionary or of the vocabulary. text: a file in the authors' text format, one line
    per class or per query, a class-name file, or a list of words. like, words, counts: for a random or pseudo set, the
    set with the sizes to match, the vocabulary, and its numbers of captions if they are to be matched too. synonyms: a
    class-name file. Raises UserError for an input that does not fit the data set."""
    if isinstance(settings, NoneSet | BackgroundSet | BoostedBackgroundSet):
        concepts: Mapping[str, Sequence[str]] = {}
    elif isinstance(settings, DictionarySet | VocabularySet):
        assert lists is not None
        concepts = lists
    elif isinstance(settings, CcTextSet):
        assert text is not None
        concepts = _lines(text, classes, queries)
    elif isinstance(settings, NamesSet):
        assert text is not None
        return _of_names(name, settings, text, classes, queries)
    elif isinstance(settings, ListSet):
        concepts = dict.fromkeys(queries, settings.concepts)
    elif isinstance(settings, BackgroundWordsSet):
        assert text is not None
        concepts = dict.fromkeys(queries, read_lines(text, "a list of words, one a line"))
    elif isinstance(settings, EmptySet):
        concepts = empty_text(queries).concepts
    elif isinstance(settings, OracleSet | ImageOracleSet):
        build = oracle if isinstance(settings, OracleSet) else image_oracle
        concepts = build(classes).concepts
    elif isinstance(settings, PseudoSet):
        assert like is not None
        concepts = pseudo_control(like, words, settings.seed).concepts
    else:
        assert like is not None
        concepts = random_control(like, words, settings.seed, counts=counts).concepts
    made = from_mapping(name, concepts, settings.background, settings.original)
    if isinstance(settings, EmptySet):
        made = replace(made, concepts=concepts)
    present_only = isinstance(settings, ImageOracleSet)
    names: Mapping[str, Sequence[str]] = {} if like is None else like.names
    names = names if synonyms is None else _synonyms(synonyms, settings.separator, classes, queries)
    if isinstance(settings, OracleSet):
        listed = {
            query: [n for other in others for n in names.get(other, (other,))]
            for query, others in made.concepts.items()
        }
        made = replace(made, concepts=listed)
    boost = settings.boost if isinstance(settings, BoostedBackgroundSet) else 0.0
    return replace(made, present_only=present_only, names=names, boost=boost)


def _named_classes(
    path: Path, separator: Separator, classes: Sequence[str], queries: Sequence[str]
) -> tuple[list[list[str]], dict[str, list[str]]]:
    """The lines of a class-name file, and query -> names. Raises UserError for another number of classes."""
    lines = read_class_names(path, separator)
    if len(lines) != len(classes):
        raise UserError(f"{path}: found {len(lines)} lines, expected {len(classes)}, one a class in label order")
    return lines, {name: names for name, names in zip(classes, lines, strict=True) if name in queries}


def _of_names(
    name: str, settings: NamesSet, path: Path, classes: Sequence[str], queries: Sequence[str]
) -> ContrastiveSet:
    lines, names = _named_classes(path, settings.separator, classes, queries)
    outside = [] if classes[0] in queries else lines[0]
    return ContrastiveSet(
        name, dict.fromkeys(queries, tuple(outside)), original=settings.original, names=names, verbatim=True
    )


def _synonyms(
    path: Path, separator: Separator, classes: Sequence[str], queries: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Query -> its own name and the names in its line. Raises UserError if a name belongs to two classes."""
    _, named = _named_classes(path, separator, classes, queries)
    names = {query: tuple(dict.fromkeys([query, *found])) for query, found in named.items()}
    owner: dict[str, str] = {}
    for query, found in names.items():
        for each in found:
            if owner.setdefault(each, query) != query:
                raise UserError(f"{path}: found {each!r} for {owner[each]!r} and for {query!r}, expected it for one")
    return names


def lists_of_queries(lists: Mapping[str, Sequence[str]], matches: pl.DataFrame) -> dict[str, list[str]]:
    """Query -> contrastive concepts of its nearest concept, without that concept. matches: query, concept."""
    return {
        query: [name for name in lists[concept] if name != concept]
        for query, concept in matches.select("query", "concept").iter_rows()
    }


def _lines(path: Path, classes: Sequence[str], queries: Sequence[str]) -> dict[str, list[str]]:
    """Read a file in the authors' text format. "background" is removed, as the set's own setting decides about it."""
    lines = read_cc_text(path)
    if len(lines) not in (len(classes), len(queries)):
        expected = " or ".join(str(count) for count in sorted({len(classes), len(queries)}))
        raise UserError(f"{path}: found {len(lines)} lines, expected {expected}, one a class")
    named = classes if len(lines) == len(classes) else queries
    return {
        name: [text for text in line if text != BACKGROUND]
        for name, line in zip(named, lines, strict=True)
        if name in queries
    }


def save_sets(path: Path, sets: Mapping[str, ContrastiveSet]) -> None:
    """Write the contrastive sets of a data set by name."""
    content = {name: asdict(each) for name, each in sets.items()}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def load_sets(path: Path) -> dict[str, ContrastiveSet]:
    """Read contrastive sets by name. Raises UserError for a file that `save_sets` did not write."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: ContrastiveSet(**each) for name, each in content.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not contrastive sets ({one_line(error)})") from None
