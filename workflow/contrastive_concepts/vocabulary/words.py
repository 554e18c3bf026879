"""The definition of a word: the reference semantics that the matching kernel reproduces byte by byte.

Every code point has a class and, if it is part of words, a folding. The kernel's Unicode tables are generated from
`character_class` and `fold_character` alone.

- letters and numbers (categories L*, N*) make words; case, compatibility forms and accents are removed by folding
- combining marks (M*) and invisible format characters (Cf) are skipped, but for the iota below a Greek vowel, which is
  a letter as soon as case is folded
- an apostrophe between two word characters joins them (don't -> dont), except that a closing 's is dropped (dog's ->
  dog); any other apostrophe separates words
- white space, hyphens, dashes and underscores separate words; a phrase can continue across them and apostrophes
- any other character separates words and ends a phrase
"""

import unicodedata
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from itertools import chain


class CharacterClass(IntEnum):
    """The effect of a code point on the words around it."""

    BREAK = 0
    SPACE = 1
    WORD = 2
    APOSTROPHE = 3
    IGNORED = 4


APOSTROPHES = frozenset("'`\u00b4\u02b9\u02bb\u02bc\u02bd\u02c8\u2018\u2019\u201b\u2032\uff07")
"""Characters that are read as an apostrophe, independent of their category, such as modifier letters and the prime."""

_ZERO_WIDTH_SPACE = "\u200b"
_MINUS = "\u2212"
_IOTA_SUBSCRIPT = "\u0345"


@lru_cache(maxsize=4096)
def character_class(character: str) -> CharacterClass:
    """The class of one code point."""
    return _class_and_folding(character, unicodedata.category(character))[0]


@lru_cache(maxsize=4096)
def fold_character(character: str) -> str:
    """A letter or number without case, compatibility form and accents: É -> e, ß -> ss, ﬁ -> fi, ² -> 2."""
    return _folding(character)


def runs(text: str | bytes) -> list[list[str]]:
    """The folded words of a text in order, in one list for each part of the text between phrase breaks."""
    return [[word for word, _ in run] for run in placed_runs(text)]


def placed_runs(text: str | bytes) -> list[list[tuple[str, int]]]:
    """`runs` with the index of each word's first character.

    Bytes are read as UTF-8. Invalid sequences end a phrase, as with `bytes.decode(errors="replace")`: each maximal
    ill-formed sequence acts as one U+FFFD, and all else is unaffected. A lone surrogate in a `str` also ends a phrase.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="replace")
    visible: list[tuple[CharacterClass, str, int]] = [
        (kind, c, number) for number, c in enumerate(text) if (kind := character_class(c)) is not CharacterClass.IGNORED
    ]
    found: list[list[tuple[str, int]]] = [[]]
    word: list[str] = []
    begin = 0
    possessive = -1
    for position, (kind, character, number) in enumerate(visible):
        if kind is CharacterClass.WORD:
            if position != possessive:
                begin = begin if word else number
                word.append(fold_character(character))
            continue
        if kind is CharacterClass.APOSTROPHE and word and _is_word(visible, position + 1):
            if fold_character(visible[position + 1][1]) != "s" or _is_word(visible, position + 2):
                continue
            possessive = position + 1
        if word:
            found[-1].append(("".join(word), begin))
            word = []
        if kind is CharacterClass.BREAK and found[-1]:
            found.append([])
    if word:
        found[-1].append(("".join(word), begin))
    return found if found[-1] else found[:-1]


def words(text: str | bytes) -> list[str]:
    """The folded words of a text, in order: "Dogs' & cat's Café" -> ["dogs", "cat", "cafe"]."""
    return [word for run in runs(text) for word in run]


def code_points() -> Iterator[tuple[int, CharacterClass, str]]:
    """Yield (code point, class, folding) of every code point that is not a BREAK, ascending. The folding is "" unless
    the class is WORD."""
    # The others are unassigned or private, which makes them BREAKs.
    for number in chain(range(0x40000), range(0xE0000, 0xF0000)):
        category = unicodedata.category(character := chr(number))
        if category in ("Cn", "Co", "Cs"):
            continue
        kind, folding = _class_and_folding(character, category)
        if kind is not CharacterClass.BREAK:
            yield number, kind, folding


def _class_and_folding(character: str, category: str) -> tuple[CharacterClass, str]:
    if character in APOSTROPHES:
        return CharacterClass.APOSTROPHE, ""
    if category[0] in "LN" or character == _IOTA_SUBSCRIPT:
        folding = _folding(character)
        return (CharacterClass.WORD if folding else CharacterClass.IGNORED), folding
    if category in ("Zs", "Pd", "Pc") or character.isspace() or character in (_ZERO_WIDTH_SPACE, _MINUS):
        return CharacterClass.SPACE, ""
    return (CharacterClass.IGNORED if category[0] == "M" or category == "Cf" else CharacterClass.BREAK), ""


def _folding(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character.casefold()).casefold()
    return "".join([c for c in decomposed if unicodedata.category(c)[0] in "LN" and c not in APOSTROPHES])


def _is_word(visible: list[tuple[CharacterClass, str, int]], position: int) -> bool:
    return position < len(visible) and visible[position][0] is CharacterClass.WORD
