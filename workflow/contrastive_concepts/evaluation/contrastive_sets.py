"""Contrastive sets: the texts that a query is contrasted with (paper 3.2-3.6, 4.3), as values and as files."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from contrastive_concepts.config.contrastive_sets import (
    BackgroundSet,
    CcTextSet,
    ContrastiveSetSettings,
    DictionarySet,
    ImageOracleSet,
    ListSet,
    NoneSet,
    OracleSet,
)
from contrastive_concepts.config.selection import BACKGROUND, BETA
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.selection.union import far_from_queries
from contrastive_concepts.similarity.store import Embeddings
from contrastive_concepts.visibility.cc_text import read_cc_text


@dataclass(frozen=True)
class ContrastiveSet:
    """Negatives of each query, by name of the set.

    concepts: query -> negatives; a query that is missing is an error. background: "background" is added in front.
    present_only: of the negatives, only classes that the image shows (per-image oracle). original: the segmenter's
    own background handling is on as well."""

    name: str
    concepts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    background: bool = False
    present_only: bool = False
    original: bool = False

    def negatives(self, query: str, present: Sequence[str] = ()) -> tuple[str, ...]:
        """Distinct negatives in order, the query itself and the empty text left out."""
        listed: Sequence[str] = ()
        if self.concepts:
            if query not in self.concepts:
                raise UserError(f"contrastive set {self.name!r}: query {query!r} is missing, expected its concepts")
            listed = self.concepts[query]
        if self.present_only:
            listed = [concept for concept in listed if concept in present]
        both = [BACKGROUND, *listed] if self.background else listed
        return tuple(text for text in dict.fromkeys(both) if text and text != query)


def none(original: bool = False) -> ContrastiveSet:
    """The query alone: every pixel is the query, unless the segmenter handles the background itself."""
    return ContrastiveSet("original" if original else "none", original=original)


def background_only(original: bool = False) -> ContrastiveSet:
    return ContrastiveSet("bg", background=True, original=original)


def from_mapping(
    name: str, concepts: Mapping[str, Sequence[str]], background: bool = False, original: bool = False
) -> ContrastiveSet:
    """CC^D, CC^L or any other list of negatives by query."""
    return ContrastiveSet(
        name, {query: tuple(texts) for query, texts in concepts.items()}, background, original=original
    )


def oracle(classes: Sequence[str], background: bool = False) -> ContrastiveSet:
    """All other classes of the data set, "background" not among them (paper 4.3)."""
    return ContrastiveSet("oracle", _others(classes), background)


def image_oracle(classes: Sequence[str], background: bool = False) -> ContrastiveSet:
    """The other classes that the image shows, a data set's background class among them."""
    shown = {
        query: (*others, *(name for name in classes if name == BACKGROUND))
        for query, others in _others(classes).items()
    }
    return ContrastiveSet("image_oracle", shown, background, present_only=True)


def random_control(
    like: ContrastiveSet, vocabulary: Sequence[str], seed: int = 0, name: str = "random"
) -> ContrastiveSet:
    """As many negatives for each query as `like` has, drawn without replacement from a vocabulary."""
    drawn = {}
    for query, concepts in like.concepts.items():
        pool = [text for text in dict.fromkeys(vocabulary) if text != query and text != BACKGROUND]
        size = len([text for text in dict.fromkeys(concepts) if text not in (query, BACKGROUND)])
        if size > len(pool):
            raise UserError(f"random control: found {len(pool)} words, expected {size} or more for {query!r}")
        # Seeded by the query as well: a further query leaves the others' draws as they are.
        drawn[query] = tuple(random.Random(f"{seed}:{query}").sample(pool, size))
    return ContrastiveSet(name, drawn, like.background, original=like.original)


def union(
    chosen: ContrastiveSet, queries: Sequence[str], embeddings: Mapping[str, Embeddings], beta: float = BETA
) -> tuple[str, ...]:
    """CC_Q of several queries (paper 3.6): the union of their negatives, less those with a cosine above beta to any.

    embeddings: text -> unit vector [D]. "background" passes the same test."""
    texts = dict.fromkeys(text for query in queries for text in chosen.negatives(query, queries))
    negatives = [text for text in texts if text not in queries]
    if not negatives:
        return ()
    vectors = np.stack([embeddings[text] for text in negatives])
    stays = far_from_queries(vectors, np.stack([embeddings[query] for query in queries]), beta)
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
) -> ContrastiveSet:
    """The set of one data set. classes: names by label; queries: those that are asked for.

    lists: query -> concepts, of a dictionary; text: an authors' text file, a line for each class or each query; like
    and words: the set whose numbers a random one matches, and what is drawn from. Raises UserError."""
    if isinstance(settings, NoneSet | BackgroundSet):
        concepts: Mapping[str, Sequence[str]] = {}
    elif isinstance(settings, DictionarySet):
        assert lists is not None
        concepts = lists
    elif isinstance(settings, CcTextSet):
        assert text is not None
        concepts = _lines(text, classes, queries)
    elif isinstance(settings, ListSet):
        concepts = dict.fromkeys(queries, settings.concepts)
    elif isinstance(settings, OracleSet | ImageOracleSet):
        build = oracle if isinstance(settings, OracleSet) else image_oracle
        concepts = build(classes).concepts
    else:
        assert like is not None
        concepts = random_control(like, words, settings.seed).concepts
    made = from_mapping(name, concepts, settings.background, settings.original)
    present_only = isinstance(settings, ImageOracleSet)
    return ContrastiveSet(name, made.concepts, made.background, present_only, made.original)


def lists_of_queries(lists: Mapping[str, Sequence[str]], matches: pl.DataFrame) -> dict[str, list[str]]:
    """Query -> the contrastive concepts of its nearest concept (`matches`: query, concept), that concept left out."""
    return {
        query: [name for name in lists[concept] if name != concept]
        for query, concept in matches.select("query", "concept").iter_rows()
    }


def _lines(path: Path, classes: Sequence[str], queries: Sequence[str]) -> dict[str, list[str]]:
    """The files list "background" among the concepts: whether it takes part is the set's own setting."""
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


def save_set(path: Path, chosen: ContrastiveSet) -> None:
    path.write_text(json.dumps(asdict(chosen), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def load_set(path: Path) -> ContrastiveSet:
    """Raises UserError for a file that `save_set` did not write."""
    try:
        return ContrastiveSet(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a contrastive set ({one_line(error)})") from None
