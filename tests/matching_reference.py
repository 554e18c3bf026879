"""Matching and counting as the documentation defines them, in plain Python: lemmatise every word, compare sets."""

from collections import Counter
from collections.abc import Iterable, Sequence

from contrastive_concepts.matching.nouns import load_model
from contrastive_concepts.vocabulary.lemmas import lemmas, spacy_lemma
from contrastive_concepts.vocabulary.words import placed_runs, runs, words


def key_of(concept: str) -> list[str]:
    """The words of a concept; a single one that is a noun as it stands is that noun."""
    spelled = words(concept)
    if len(spelled) == 1 and spelled[0] in lemmas(spelled[0]):
        return spelled
    return [lemmas(word)[0] for word in spelled]


def meant(word: str, known: set[str]) -> set[str]:
    """The words of concepts for which a caption's word stands."""
    return set(lemmas(word)) & known or {spacy_lemma(word)} & known


def mentioned(
    caption: str | bytes | None,
    concepts: Sequence[str],
    mode: str,
    nouns: str = "all",
    vocabulary: set[str] | None = None,
) -> set[int]:
    """Numbers of the concepts that the caption mentions; `vocabulary`: the words of more concepts than these."""
    if caption is None:
        return set()
    keys = [key_of(concept) for concept in concepts]
    known = vocabulary or {word for key in keys for word in key}
    lines = [[(meant(word, known), noun) for word, noun in run] for run in noun_runs(caption, nouns)]
    if mode == "bag":
        present = {word for line in lines for readings, noun in line if noun for word in readings}
        return {number for number, key in enumerate(keys) if present.issuperset(key)}
    return {
        number
        for number, key in enumerate(keys)
        if any(
            len(line) >= i + len(key)
            and all(word in line[i + k][0] for k, word in enumerate(key))
            and line[i + len(key) - 1][1]
            for line in lines
            for i in range(len(line))
        )
    }


def noun_runs(caption: str | bytes, nouns: str) -> list[list[tuple[str, bool]]]:
    """The words of a caption, and whether the noun model takes each for a noun: its definition, in plain Python."""
    if nouns == "all":
        return [[(word, True) for word in run] for run in runs(caption)]
    text = caption.decode("utf-8", "replace") if isinstance(caption, bytes) else caption
    row_of, model = load_model(nouns)
    weights, classes = model["row_weights"], model["row_classes"]
    count = len(model["triple_weights"])
    placed = placed_runs(text)
    seen = [(row_of.get(word, 1 + kind(word)), case(text, place)) for run in placed for word, place in run]
    padded = [(0, 3), *seen, (0, 3)]
    flags = []
    for (before, case_before), (own, own_case), (after, case_after) in zip(
        padded, padded[1:], padded[2:], strict=False
    ):
        left, middle, right = classes[before], classes[own], classes[after]
        score = int(weights[own, own_case]) + int(weights[before, 3]) + int(weights[after, 4])
        score += int(weights[own, 5 + left]) + int(weights[own, 5 + count + right])
        score += int(model["triple_weights"][left, middle, right])
        score += int(model["case_weights"][middle, own_case, case_before, case_after])
        flags.append(score > 0)
    remaining = iter(flags)
    return [[(word, next(remaining)) for word, _ in run] for run in placed]


def case(text: str, place: int) -> int:
    capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    if text[place] not in capitals:
        return 0
    return 2 if text[place + 1 : place + 2] and text[place + 1] in capitals else 1


def kind(word: str) -> int:
    raw = word.encode()
    if len(raw) > 64:
        return 6
    if raw.isdigit():
        return 0
    for number, (ending, longer_than) in enumerate({b"ing": 5, b"ed": 4, b"ly": 4, b"er": 4, b"s": 3}.items(), 1):
        if raw.endswith(ending) and len(raw) > longer_than:
            return number
    return 6


class Index:
    """The same for many concepts: only those that share a word with the caption are tried."""

    def __init__(self, concepts: Sequence[str], mode: str, nouns: str = "all") -> None:
        self.concepts, self.mode, self.nouns = concepts, mode, nouns
        self.by_word: dict[str, set[int]] = {}
        for number, concept in enumerate(concepts):
            for word in key_of(concept):
                self.by_word.setdefault(word, set()).add(number)

    def mentioned(self, caption: str | bytes | None) -> set[int]:
        known = set(self.by_word)
        found = {noun for word in words(caption) for noun in meant(word, known)} if caption is not None else set()
        tried = sorted(set().union(*(self.by_word[word] for word in found)))
        names = [self.concepts[t] for t in tried]
        return {tried[k] for k in mentioned(caption, names, self.mode, self.nouns, known)}


def counted(mentions: Iterable[set[int]]) -> dict[tuple[int, int], int]:
    """The non-zero entries of X."""
    counts: Counter[tuple[int, int]] = Counter()
    for found in mentions:
        counts.update((i, j) for i in found for j in found)
    return dict(counts)
