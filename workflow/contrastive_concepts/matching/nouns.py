"""Decides which words of a caption are nouns: with a small linear model in the kernel, or with spaCy's pipeline.

The concept index of the paper [62] counts a word only where spaCy tags it NOUN or PROPN. The noun model is a table,
learned from spaCy's tags by `tools/noun_training.py`. A word's score is the sum of small integers: of the form under
its letter case, of the form beside the classes of its neighbours, of the neighbours' forms, of the three classes, of
the three letter cases. A class is the tag that a form mostly has; a form that the table does not know has the class of
its ending. Nothing is estimated at run time, and there are no floats. spaCy over every caption is the exact route, at
a thousandth of the table's speed.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contrastive_concepts.errors import UserError
from contrastive_concepts.matching.forms import ONE, chunks_of
from contrastive_concepts.matching.tables import U64, NounModel, Scratch, Tokens, part
from contrastive_concepts.provenance import content_sha256
from contrastive_concepts.resources import resource
from contrastive_concepts.vocabulary.lemmas import lemmas
from contrastive_concepts.vocabulary.tagger import load_tagger
from contrastive_concepts.vocabulary.words import words

Nouns = Literal["all", "filtered", "index"]
"""all: every form counts. filtered: what is tagged NOUN or PROPN, in any letter case. index: as in the paper's index,
where a proper noun keeps its capital and its plural, so that "Orange County" is no orange and "Flowers" no flower."""
Tagger = Literal["table", "spacy"]
FILE = "nouns/noun_model.npz"
WEIGHTS = ("row_weights", "triple_weights", "case_weights")
OWN_WEIGHTS = 5
"""Weights of a form that do not depend on its neighbours' classes."""

MOST_ROWS = 1 << 16
"""Rows of the noun model, as a head has 16 bits for its row."""
LONGEST_KIND = 64
"""Bytes. The ending of a longer form is not looked at."""
BOUNDARY_ROW = 0
"""Row of the boundary before the first word and after the last word."""
FIRST_OTHER = -3
"""Phrase mode stores a word that is not a noun as FIRST_OTHER - word, because it can stand before the head noun."""
_NOT_INDEXED = re.compile("[^A-Za-z ]")


@lru_cache(maxsize=4)
def load_model(nouns: Literal["filtered", "index"]) -> tuple[dict[str, int], dict[str, npt.NDArray[Any]]]:
    """The row of each form, and the arrays that `packed` takes. Raises UserError for no file or too many rows."""
    with np.load(model_path(), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in ("row_classes", "kind_rows")}
        arrays |= {name: archive[f"{nouns}_{name}"] for name in WEIGHTS}
        forms = archive["forms"].tobytes().decode().split("\n")
    if len(arrays["row_classes"]) > MOST_ROWS:
        raise UserError(f"{model_path()}: found {len(arrays['row_classes'])} rows, expected at most {MOST_ROWS}")
    return {form: row for row, form in enumerate(forms, len(arrays["row_classes"]) - len(forms))}, arrays


def empty_model() -> dict[str, npt.NDArray[Any]]:
    """The arrays of a model without rows, for where every form counts."""
    return {
        "row_classes": np.empty(0, np.uint8),
        "kind_rows": np.empty(0, np.int32),
        "row_weights": np.empty((0, OWN_WEIGHTS), np.int8),
        "triple_weights": np.empty((0, 0, 0), np.int8),
        "case_weights": np.empty((0, 0, 0, 0), np.int8),
    }


def packed(arrays: Mapping[str, npt.NDArray[Any]]) -> NounModel:
    """The arrays of the file as the kernel reads them.

    row_classes (R,). row_weights (R, 5 + 2 C): a form's weights under three letter cases, as the word before and after,
    beside the class before and beside the class after; the others as in `NounModel`.
    """
    classes, weights = arrays["row_classes"], arrays["row_weights"]
    heads = np.zeros((len(classes), 8), np.uint8)
    heads[:, 0] = classes
    heads[:, 1:6] = weights[:, [3, 4, 0, 1, 2]].view(np.uint8)
    heads[:, 6:] = np.arange(len(classes), dtype="<u2").view(np.uint8).reshape(-1, 2)
    return NounModel(
        row_heads=heads.view("<u8").ravel().astype(np.uint64),
        kind_rows=arrays["kind_rows"],
        row_weights=np.ascontiguousarray(weights[:, OWN_WEIGHTS:]),
        triple_weights=arrays["triple_weights"],
        case_weights=arrays["case_weights"],
    )


def model_path() -> Path:
    """Path of the noun model's file. Raises UserError if it does not exist."""
    path = resource(FILE)
    if not path.exists():
        raise UserError(f"{path}: no such file, expected the table of the noun model (matching.nouns)")
    return path


def model_sha256() -> str:
    """Hash of the noun model's file, stored with the counts that depend on it."""
    return content_sha256([model_path()])


@part
def row_of_unknown(tokens: Tokens, token: int, model: NounModel) -> int:
    """Row for a form that is not in the model: that of its ending. A boundary has length 0 and a row of its own."""
    length = tokens.lengths[token]
    if length == 0:
        return BOUNDARY_ROW
    if length <= 8:
        kind = form_kind(tokens.keys, token, length)
    else:
        kind = form_kind(tokens.chunks, tokens.places[token], length)
    return int(np.int64(model.kind_rows[kind]))


@part
def form_kind(chunks: U64, first: int, length: int) -> int:
    """Kind of a form that is not in the model, by its ending: 0 number, 1 -ing, 2 -ed, 3 -ly, 4 -er, 5 -s, 6 other."""
    if length > LONGEST_KIND:
        return 6
    digits = 0
    while digits < length and ord("0") <= byte_of(chunks, first, digits) <= ord("9"):
        digits += 1
    if digits == length:
        return 0
    last = byte_of(chunks, first, length - 1)
    if (
        length > 5
        and last == ord("g")
        and byte_of(chunks, first, length - 2) == ord("n")
        and byte_of(chunks, first, length - 3) == ord("i")
    ):
        return 1
    if length > 4:
        before = byte_of(chunks, first, length - 2)
        if before == ord("e") and last == ord("d"):
            return 2
        if before == ord("l") and last == ord("y"):
            return 3
        if before == ord("e") and last == ord("r"):
            return 4
    return 5 if length > 3 and last == ord("s") else 6


@part
def byte_of(chunks: U64, first: int, k: int) -> int:
    """One byte of the word whose chunks begin at `first`."""
    return int(np.int64(chunks[first + (k >> 3)] >> np.uint64(8 * (k & 7)) & np.uint64(0xFF)))


def kind_of(form: str) -> int:
    """`form_kind` of a folded form."""
    raw = form.encode()
    return form_kind(chunks_of(raw[:LONGEST_KIND]), 0, len(raw))


@part
def class_of(head: np.uint64) -> np.uint64:
    """The class stored in a head, see `NounModel`."""
    return np.uint64(head & np.uint64(0xFF))


@part
def weight_at(head: np.uint64, place: np.uint64) -> np.int64:
    """The weight stored in one byte of a head."""
    return np.int64(np.int8(head >> (np.uint64(8) * place) & np.uint64(0xFF)))


@part
def is_noun(token: int, model: NounModel, tokens: Tokens) -> bool:
    """Whether a word is a noun: whether the weights of it, its neighbours and their letter cases have a sum above 0.

    Packed heads and unsigned indices: without both, the kernel takes 20 % longer.
    """
    cases, weights = tokens.cases, model.row_weights
    now = np.uint64(token)
    head, before, after = tokens.heads[now], tokens.heads[now - ONE], tokens.heads[now + ONE]
    row, case = head >> np.uint64(48), np.uint64(cases[now])
    left, own, right = class_of(before), class_of(head), class_of(after)
    score = weight_at(head, np.uint64(3) + case) + weight_at(before, np.uint64(1)) + weight_at(after, np.uint64(2))
    score += np.int64(weights[row, left]) + weights[row, np.uint64(model.triple_weights.shape[0]) + right]
    score += np.int64(model.triple_weights[left, own, right])
    score += np.int64(model.case_weights[own, case, cases[now - ONE], cases[now + ONE]])
    return bool(score > 0)


@part
def keep_nouns(first: int, end: int, phrase: bool, model: NounModel, scratch: Scratch) -> int:
    """Remove the words from scratch.sequence[first:end] that are not nouns. Returns the new end.

    In phrase mode nothing is removed; a word that is not a noun becomes FIRST_OTHER - word.
    """
    sequence = scratch.sequence
    kept = first
    for position in range(first, end):
        word = sequence[position]
        if word < 0:
            sequence[kept] = word
            kept += 1
            continue
        noun = is_noun(scratch.owners[position], model, scratch.tokens)
        sequence[kept] = FIRST_OTHER - word if phrase and not noun else word
        kept += int(phrase) | int(noun)
    return kept


def noun_lemmas(captions: pa.Array | pa.ChunkedArray, nouns: Nouns, max_caption_bytes: int) -> pa.Array:
    """The lemmas of each caption's NOUN and PROPN tokens, joined by spaces. A null or too long caption gives null.

    spaCy decides whether a noun is a plural; `vocabulary.lemmas` gives its singular.
    filtered: lemmas folded as all words are. index: everything but A-Z and a-z is taken out of a lemma, and one that
    keeps a capital is left out, because no concept's name has one.
    """
    rows = [_text(row.as_py(), max_caption_bytes) for row in captions]
    documents = iter(load_tagger().pipe([text for text in rows if text is not None], batch_size=256))
    found = [None if text is None else " ".join(_lemmas(next(documents), nouns)) for text in rows]
    return pa.array(found, pa.large_string())


def _lemmas(document: Any, nouns: Nouns) -> list[str]:
    found = [lemma for token in document if token.pos_ in ("NOUN", "PROPN") for lemma in _nouns(token)]
    if nouns == "filtered":
        return [word for lemma in found for word in words(lemma)]
    indexed = [_NOT_INDEXED.sub("", lemma) for lemma in found]
    return [lemma for lemma in indexed if lemma == lemma.lower()]


def _nouns(token: Any) -> tuple[str, ...]:
    """Lemmas of a token. For a plural-only noun also spaCy's lemma, because a given concept list can contain it."""
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
