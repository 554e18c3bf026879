"""What the noun model is told of each word of a caption."""

import numpy as np

from contrastive_concepts.matching.chunks import byte_of
from contrastive_concepts.matching.forms import row_of
from contrastive_concepts.matching.tables import U8, U64, Scratch, Tables, part

LONGEST_KIND = 64


@part
def note_token(
    token: int,
    entry: int,
    form: np.uint64,
    length: int,
    data: U8,
    begin: int,
    stop: int,
    tables: Tables,
    scratch: Scratch,
) -> None:
    """Write the model's row and the letter case of the word in scratch.word, and that this entry is this token.

    `form` is what `look_up` says of the word.
    """
    row = row_of(form)
    if row == 0:
        row = int(tables.kind_rows[form_kind(scratch.word, length)])
    scratch.rows[np.uint64(token)] = row
    scratch.heads[np.uint64(token)] = tables.row_heads[np.uint64(row)]
    scratch.cases[np.uint64(token)] = letter_case(data, begin, stop)
    scratch.tokens[np.uint64(entry)] = token


@part
def form_kind(word: U64, length: int) -> int:
    """What the ending says of a form that the noun model does not know: number, -ing, -ed, -ly, -er, -s, other."""
    if length > LONGEST_KIND:
        return 6
    digits = 0
    while digits < length and ord("0") <= byte_of(word, digits) <= ord("9"):
        digits += 1
    if digits == length:
        return 0
    last = byte_of(word, length - 1)
    if (
        length > 5
        and last == ord("g")
        and byte_of(word, length - 2) == ord("n")
        and byte_of(word, length - 3) == ord("i")
    ):
        return 1
    if length > 4:
        before = byte_of(word, length - 2)
        if before == ord("e") and last == ord("d"):
            return 2
        if before == ord("l") and last == ord("y"):
            return 3
        if before == ord("e") and last == ord("r"):
            return 4
    return 5 if length > 3 and last == ord("s") else 6


@part
def is_capital(byte: int) -> int:
    """Whether this is one of A-Z, as a number."""
    return int(np.uint8(byte - np.uint8(ord("A"))) < 26)


@part
def letter_case(data: U8, begin: int, stop: int) -> int:
    """1 where the byte at `begin` is one of A-Z, 2 where the next one is too, else 0."""
    first = is_capital(data[begin])
    return first + (first & is_capital(data[begin + 1]) if begin + 1 < stop else 0)
