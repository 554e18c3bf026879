"""Mine the concept list from captions: the most frequent nouns and two-word phrases.

spaCy's English pipeline, which also made the concept index of the paper, tags a sample of the captions. Forms with the
same lemma are counted together, and a concept is named by a form that captions use, see `best_form`. Three kinds of
words never become concepts here: words that the tagger wrongly finds to be nouns (pronouns, determiners, numerals),
words that do not name a thing alone (single letters, units, numbers, product codes), and what is no language (HTML
entities and tags, addresses, file names); see `resources/nouns/not_concepts.txt`. A given list can contain them.
"""

import html
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise, repeat
from multiprocessing import get_context
from typing import Any, Literal, NamedTuple

import polars as pl
import pyarrow as pa

from contrastive_concepts.captions.formats import read_captions
from contrastive_concepts.captions.manifest import ShardRecord
from contrastive_concepts.vocabulary.concepts import merge_names, merged_into
from contrastive_concepts.vocabulary.lemmas import concept_key, lemma, noun_tables, surface_forms, word_list
from contrastive_concepts.vocabulary.tagger import load_tagger, part_of_speech
from contrastive_concepts.vocabulary.words import CharacterClass, character_class, words

MINED = {"concept": pl.String, "captions": pl.Int64}
MAX_CHARACTERS = 1_000
FURTHER_SAMPLE, FURTHER_MIN_COUNT = 400_000, 3
"""Captions that further words are mined from, and the number of them that a word is in."""
BATCH = 256
"""Captions that spaCy tags at once."""
PART = 8 * BATCH
"""Captions that a process counts at a time. Whole batches, so that their number changes nothing."""
NPMI = 0.4
"""Least normalised pointwise mutual information of the words of a phrase."""
SELDOM = 10
"""A noun is named in the plural if captions have the plural more than this many times as often as the singular."""
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_ADDRESS = re.compile(
    r"(?i)\b(?:[a-z][a-z+.-]*://|www\.)\S+|[^\s@]+@[^\s@]+\.\w+|(?:\w[\w-]*\.)+(?:com|net|org|info|biz)\b(?:/\S*)?"
)
_FILE = re.compile(
    r"(?i)[\w()%~-][^\s<>\"]*\.(?:jpe?g|png|gif|bmp|tiff?|webp|svg|eps|psd|pdf|mp[34g]|avi|mov|wmv|html?|php|aspx?|zip|rar|"
    r"txt|docx?|xlsx?|pptx?)\b"
)
_QUANTITIES = frozenset(("lot", "bit"))
_NOUNS_TOO = frozenset((
    "amount", "back", "bottom", "call", "empty", "front", "full", "move", "name", "part", "serious", "show", "side",
    "top", "well", "whole",
))  # fmt: skip
"""Stop words of spaCy that are the name of a thing, or come before one in a phrase."""


class Word(NamedTuple):
    """A word of a caption. `form`: folded; `lemma`: its noun, or the form if it is not one; `kind`: ADJ, NOUN or, for a
    word that cannot be part of a concept, ""; `name`: the form, or a proper noun as it is written."""

    form: str
    lemma: str
    kind: str
    name: str


def sample_captions(records: Sequence[ShardRecord], size: int) -> list[str]:
    """About `size` captions: every n-th of the corpus, each text once. The sample is the same on every machine."""
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


@dataclass
class _Counts:
    """How many captions mention each noun, each of its forms, each pair of words and each of its forms, each word."""

    captions: int = 0
    nouns: Counter[str] = field(default_factory=Counter)
    forms: Counter[tuple[str, str]] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    spellings: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)

    def update(self, other: "_Counts") -> None:
        self.captions += other.captions
        for own, more in zip(self._counters(), other._counters(), strict=True):
            own.update(more)

    def all_forms(self) -> Counter[str]:
        """Each noun and each phrase as captions spell it, with the number of captions."""
        said: Counter[str] = Counter()
        for (_, form), count in self.forms.items():
            said[form] += count
        for (_, _, first, head), count in self.spellings.items():
            said[f"{first} {head}"] += count
        return said

    def _counters(self) -> tuple[Counter[Any], ...]:
        return self.nouns, self.forms, self.pairs, self.spellings, self.words


def mine_concepts(
    captions: Sequence[str],
    size: int,
    min_count: int,
    phrases: bool = True,
    phrase_npmi: float = NPMI,
    proper_nouns: bool = False,
    processes: int = 1,
) -> pl.DataFrame:
    """The most frequent nouns and noun phrases: concept, captions (number that mention it in the sample), descending.

    A phrase is an adjective or noun followed by a noun. It occurs in at least `min_count` captions, and the normalised
    pointwise mutual information of its two words is at least `phrase_npmi`. The number of processes changes nothing.
    """
    return _most_frequent(_counted_all(captions, phrases, proper_nouns, processes), size, min_count, phrase_npmi)


def _most_frequent(counts: _Counts, size: int, min_count: int, phrase_npmi: float = NPMI) -> pl.DataFrame:
    forms: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (noun, form), count in counts.forms.items():
        forms[noun][form] = count
    spellings: defaultdict[tuple[str, str], dict[tuple[str, str], int]] = defaultdict(dict)
    for (a, b, first, head), count in counts.spellings.items():
        spellings[a, b][first, head] = count
    named = {_name(noun, forms[noun]): count for noun, count in counts.nouns.items() if count >= min_count}
    for (a, b), count in counts.pairs.items():
        if a == b or count < min_count:
            continue
        if _npmi(count, counts.words[a], counts.words[b], counts.captions) >= phrase_npmi:
            named[_phrase_name(b, spellings[a, b])] = count
    ranked = sorted(named.items(), key=lambda item: (-item[1], item[0]))[:size]
    return pl.DataFrame(ranked, schema=MINED, orient="row")


def _counted_all(captions: Sequence[str], phrases: bool, proper_nouns: bool, processes: int) -> _Counts:
    counts = _Counts()
    for part in _counted_parts(captions, phrases, proper_nouns, processes):
        counts.update(part)
    return counts


def _counted_parts(captions: Sequence[str], phrases: bool, proper_nouns: bool, processes: int) -> Iterator[_Counts]:
    parts = [captions[start : start + PART] for start in range(0, len(captions), PART)]
    if min(processes, len(parts)) < 2:
        yield from map(_counted, parts, repeat(phrases), repeat(proper_nouns))
        return
    # Loaded before the fork, so that it is loaded once. A spawned process would run the job's script once more.
    load_tagger("lemmatizer")
    with ProcessPoolExecutor(min(processes, len(parts)), get_context("fork")) as pool:
        yield from pool.map(_counted, parts, repeat(phrases), repeat(proper_nouns))


def _counted(captions: Sequence[str], phrases: bool, proper_nouns: bool) -> _Counts:
    counts = _Counts(len(captions))
    for tagged in _tagged(captions, proper_nouns):
        found = {(concept_key(word.form)[0], word.name) for word in tagged if word.kind == "NOUN" and _is_thing(word)}
        counts.nouns.update({noun for noun, _ in found})
        counts.forms.update(found)
        counts.words.update({word.lemma for word in tagged})
        if phrases:
            met = {(first.lemma, head.lemma, first.name, head.name) for first, head in _phrases(tagged)}
            counts.pairs.update({(a, b) for a, b, _, _ in met})
            counts.spellings.update(met)
    return counts


def further_words(
    records: Sequence[ShardRecord],
    concepts: pl.DataFrame,
    size: int,
    mode: Literal["bag", "phrase"],
    processes: int = 1,
) -> pl.DataFrame:
    """The most frequent nouns and noun phrases that are none of the concepts, in the columns of `mine_concepts`; below
    them other forms: those of these and of the concepts that captions use, and all plurals of the concepts."""
    counts = _counted_all(sample_captions(records, FURTHER_SAMPLE), True, False, processes)
    mined = _most_frequent(counts, size + concepts.height, FURTHER_MIN_COUNT)
    known = merged_into(mined["concept"].to_list(), concepts, mode)
    further = mined.filter([number is None for number in known]).head(size)
    named = dict.fromkeys([*concepts["concept"], *further["concept"]])
    said = counts.all_forms()
    used = [form for form, count in said.items() if count >= FURTHER_MIN_COUNT]
    forms = [form for form in dict.fromkeys([*used, *_plurals(concepts["concept"])]) if form not in named]
    belongs = merged_into(forms, merge_names(named, mode)[0], mode)
    others = [(form, said[form]) for form, number in zip(forms, belongs, strict=True) if number is not None]
    others.sort(key=lambda form: (-form[1], form[0]))
    return pl.concat([further, pl.DataFrame(others, MINED, orient="row")])


def _plurals(concepts: Iterable[str]) -> Iterator[str]:
    """Yield each concept with every form of its last word: fire hydrants, buses and busses."""
    for concept in concepts:
        first, _, last = concept.rpartition(" ")
        yield from (f"{first} {form}".strip() for form in surface_forms(last))


def best_form(noun: str, said: Mapping[str, int]) -> str:
    """The name of a noun. `said`: number of captions with each of its forms.

    The name is the singular (flower, although flowers is more frequent), unless another form is more than `SELDOM`
    times as frequent (pants, fries). One is added to the singular's count, because the sample can miss it. A singular
    that does not occur is a name only if spaCy's list of nouns has it. So names are words that people use, and a noun
    without a singular (clothes) keeps its form.
    """
    usual = max(sorted(said), key=lambda form: said[form])
    singular = said.get(noun, 0)
    known = lemma(noun) == noun and (singular > 0 or noun in noun_tables().nouns)
    return noun if singular == said[usual] or (known and said[usual] <= SELDOM * (singular + 1)) else usual


def _name(noun: str, said: Mapping[str, int]) -> str:
    """The name of a noun that may be a proper noun: as it is mostly written if most captions have it with a capital."""
    proper = {form: count for form, count in said.items() if form != form.lower()}
    if 2 * sum(proper.values()) > sum(said.values()):
        return max(sorted(proper), key=lambda form: proper[form])
    return best_form(noun, {form: count for form, count in said.items() if form not in proper})


def _phrase_name(noun: str, said: Mapping[tuple[str, str], int]) -> str:
    """The `_name` of the head noun, after the most frequent form of the first word before it."""
    heads: Counter[str] = Counter()
    for (_, head), count in said.items():
        heads[head] += count
    name = _name(noun, heads)
    firsts: Counter[str] = Counter()
    for (first, head), count in said.items():
        firsts[first] += count if head == name or name not in heads else 0
    return f"{max(sorted(firsts), key=lambda first: firsts[first])} {name}"


def _phrases(tagged: Sequence[Word]) -> Iterator[tuple[Word, Word]]:
    """Yield pairs of neighbours that can be a phrase: t-shirt and parking lot, but not "g sugar" in "5 g sugar"."""
    for place, (first, head) in enumerate(pairwise(tagged)):
        if first.kind not in ("ADJ", "NOUN") or head.kind != "NOUN":
            continue
        if _is_letter(first.form) and place and tagged[place - 1].form[:1].isdecimal():
            continue
        if _is_thing(head) or (head.lemma in _QUANTITIES and first.kind == "NOUN" and _is_thing(first)):
            yield first, head


def _is_thing(word: Word) -> bool:
    """Whether a noun can be a concept by itself."""
    return word.lemma not in _QUANTITIES and not _is_letter(word.lemma) and not any(map(str.isdecimal, word.form))


def _is_letter(form: str) -> bool:
    """Whether the form is one letter of an alphabet with letter case. A character of another script can be a word."""
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


def as_text(caption: str) -> str:
    """A caption's language alone: HTML entities become characters; tags, addresses and file names become commas."""
    text = html.unescape(html.unescape(caption)) if "&" in caption else caption
    for pattern in (_TAG, _ADDRESS, _FILE):
        text = pattern.sub(",", text)
    return text


def _tagged(captions: Iterable[str], proper_nouns: bool) -> Iterator[list[Word]]:
    """Yield the words of each caption. A token that is not a single word has an empty form. Hyphens and white space are
    left out, as in matching."""
    tagger = load_tagger("lemmatizer")
    for document in tagger.pipe(map(as_text, captions), batch_size=BATCH, disable=["attribute_ruler"]):
        tagged = []
        for token in document:
            inside = words(token.text)
            # A token such as 'd (in I'd) leaves a single letter, which is not a word.
            if len(inside) == 1 and not (_is_letter(inside[0]) and len(token.text) > 1):
                speech = part_of_speech(token.tag_, token.lower_)
                proper = proper_nouns and speech == "PROPN"
                form, kind = inside[0], "NOUN" if proper else speech
                noun = lemma(form) if kind == "NOUN" else form
                kind = kind if kind in ("ADJ", "NOUN") and _counts(form, noun) else ""
                tagged.append(Word(form, noun, kind, token.text if proper else form))
            elif not all(character_class(character) is CharacterClass.SPACE for character in token.text):
                tagged.append(Word("", "", "", ""))
        yield tagged


def _npmi(both: int, a: int, b: int, total: int) -> float:
    if both == total:
        return 1.0
    return math.log(both * total / (a * b)) / -math.log(both / total)
