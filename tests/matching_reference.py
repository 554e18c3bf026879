"""Matching and counting as the documentation defines them, in plain Python: lemmatise every word, compare sets."""

from collections import Counter
from collections.abc import Iterable, Sequence

from contrastive_concepts.vocabulary.lemmas import lemma
from contrastive_concepts.vocabulary.words import runs, words


def mentioned(caption: str | bytes | None, concepts: Sequence[str], mode: str) -> set[int]:
    """Numbers of the concepts that the caption mentions."""
    if caption is None:
        return set()
    keys = [[lemma(word) for word in words(concept)] for concept in concepts]
    lines = [[lemma(word) for word in run] for run in runs(caption)]
    if mode == "bag":
        present = {word for line in lines for word in line}
        return {number for number, key in enumerate(keys) if present.issuperset(key)}
    return {
        number
        for number, key in enumerate(keys)
        if any(line[i : i + len(key)] == key for line in lines for i in range(len(line)))
    }


class Index:
    """The same for many concepts: only those that share a word with the caption are tried."""

    def __init__(self, concepts: Sequence[str], mode: str) -> None:
        self.concepts, self.mode = concepts, mode
        self.by_word: dict[str, set[int]] = {}
        for number, concept in enumerate(concepts):
            for word in words(concept):
                self.by_word.setdefault(lemma(word), set()).add(number)

    def mentioned(self, caption: str | bytes | None) -> set[int]:
        found = {lemma(word) for word in words(caption)} if caption is not None else set()
        tried = sorted(set().union(*(self.by_word.get(word, set()) for word in found)))
        return {tried[k] for k in mentioned(caption, [self.concepts[t] for t in tried], self.mode)}


def counted(mentions: Iterable[set[int]]) -> dict[tuple[int, int], int]:
    """The non-zero entries of X."""
    counts: Counter[tuple[int, int]] = Counter()
    for found in mentions:
        counts.update((i, j) for i in found for j in found)
    return dict(counts)
