"""A configured contrastive set becomes texts: the negatives of each query of one data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path

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
from contrastive_concepts.config.selection import BACKGROUND
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.contrastive_sets import (
    ContrastiveSet,
    from_mapping,
    image_oracle,
    oracle,
    random_control,
)
from contrastive_concepts.visibility.cc_text import read_cc_text


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
