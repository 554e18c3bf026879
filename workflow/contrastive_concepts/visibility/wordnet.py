"""A lexicon as judge, for machines without a language model: the share of a noun's senses that are physical things.

Reads a WordNet database (format wndb(5): `index.noun`, `data.noun`), as installed by Debian's package `wordnet-base`
and stored by NLTK in `corpora/wordnet`. No maintained Python package contains one.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from contrastive_concepts.config.visibility import WordNetJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.answers import Answer, AnswerKey
from contrastive_concepts.visibility.prompts import text_sha256

PHYSICAL = "physical_entity"
RULE = f"share of a noun's senses that lie under {PHYSICAL}; of a phrase that is not listed, its last listed words"
HYPERNYMS = ("@", "@i")
"""Pointer symbols: hypernym of a class, hypernym of an instance."""


class LexiconJudge:
    """P(visible) is the share of a noun's senses under `physical_entity`. Uses no model and no context."""

    def __init__(self, settings: WordNetJudge) -> None:
        self._folder = Path(os.path.expanduser(settings.folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Does nothing: there is no resource to release."""

    @cached_property
    def answer_key(self) -> AnswerKey:
        """`revision` is a hash of the two files. Raises UserError if they are missing."""
        digest = hashlib.sha256()
        for name in ("index.noun", "data.noun"):
            with self._file(name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return AnswerKey(
            "wordnet", "WordNet nouns, no language model", digest.hexdigest()[:16], text_sha256(RULE), "{}"
        )

    def ask(self, words: Sequence[str]) -> Iterator[list[Answer]]:
        """One batch. `answer` reports which senses were counted. A word that is not a noun in WordNet is unparsed."""
        yield [self._judge(word) for word in words]

    def _judge(self, word: str) -> Answer:
        parts = word.casefold().replace("_", " ").split()
        for start in range(len(parts)):
            noun = "_".join(parts[start:])
            senses = self._senses.get(noun, [])
            if senses:
                physical = sum(sense in self._physical for sense in senses)
                return Answer(word, physical / len(senses), f"{physical} of {len(senses)} senses of {noun}", True)
        return Answer(word, None, "no noun of WordNet", False)

    @cached_property
    def _senses(self) -> dict[str, list[str]]:
        """Noun (lower case, underscores) -> the offsets of its synsets, the most frequent sense first."""
        senses = {}
        for number, line in self._lines("index.noun"):
            fields = line.split()
            try:
                noun, count, pointers = fields[0], int(fields[2]), int(fields[3])
                offsets = fields[6 + pointers :]
            except (IndexError, ValueError):
                raise self._malformed("index.noun", number, line) from None
            if len(offsets) != count:
                raise self._malformed("index.noun", number, line)
            senses[noun] = offsets
        return senses

    @cached_property
    def _physical(self) -> set[str]:
        """Offsets of the synsets under `physical_entity`, itself included."""
        below = defaultdict(list)
        for number, line in self._lines("data.noun"):
            fields = line.partition(" | ")[0].split()
            try:
                first = 4 + 2 * int(fields[3], 16)
                pointers = [fields[i : i + 4] for i in range(first + 1, first + 1 + 4 * int(fields[first]), 4)]
                for symbol, target, _, _ in pointers:
                    if symbol in HYPERNYMS:
                        below[target].append(fields[0])
            except (IndexError, ValueError):
                raise self._malformed("data.noun", number, line) from None
        pending = list(self._senses.get(PHYSICAL, []))
        if not pending:
            raise UserError(f"{self._folder / 'index.noun'}: no entry {PHYSICAL!r}, expected WordNet 3.0 or later")
        found: set[str] = set()
        while pending:
            synset = pending.pop()
            if synset not in found:
                found.add(synset)
                pending += below[synset]
        return found

    def _lines(self, name: str) -> Iterator[tuple[int, str]]:
        """Numbered lines without the licence. Lines of the licence begin with two spaces."""
        with self._file(name).open(encoding="utf-8", errors="replace") as file:
            yield from ((number, line) for number, line in enumerate(file, 1) if not line.startswith("  "))

    def _file(self, name: str) -> Path:
        path = self._folder / name
        if not path.is_file():
            raise UserError(
                f"config: visibility.folder: {path} not found, expected a WordNet database "
                "(Debian's package wordnet-base, or NLTK's corpora/wordnet)"
            )
        return path

    def _malformed(self, name: str, number: int, line: str) -> UserError:
        return UserError(f"{self._folder / name}: line {number}: found {line[:60]!r}, expected the format wndb")
