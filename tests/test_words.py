import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contrastive_concepts.vocabulary.words import (
    APOSTROPHES,
    CharacterClass,
    character_class,
    code_points,
    fold_character,
    runs,
    words,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n", []),
        ("A dog.", ["a", "dog"]),
        ("CAFÉ Cafe cafe\u0301", ["cafe", "cafe", "cafe"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("ﬁsh m² Ａｂ", ["fish", "m2", "ab"]),
        ("Ιστορίας ΙΣΤΟΡΊΑΣ", ["ιστοριασ", "ιστοριασ"]),
        ("İstanbul", ["istanbul"]),
        ("犬 と 猫", ["犬", "と", "猫"]),
        ("hot-dog hot_dog hot\u2014dog", ["hot", "dog", "hot", "dog", "hot", "dog"]),
        ("soft\u00adhyphen zero\u200bwidth", ["softhyphen", "zero", "width"]),
        ("o'clock don't DON’T rock'n'roll", ["oclock", "dont", "dont", "rocknroll"]),
        ("dog's dog’s DOG'S dogs' 'dog'", ["dog", "dog", "dog", "dogs", "dog"]),
        ("it's, it's", ["it", "it"]),
        ("dog's-house dog'sx dog's'x", ["dog", "house", "dogsx", "dog", "x"]),
        ("d'\u0301s a''s ''s 's", ["d", "a", "s", "s", "s"]),
        ("5'11 1,000 3.5", ["511", "1", "000", "3", "5"]),
        ("cat🐈dog ©2020", ["cat", "dog", "2020"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected
    assert words(text.encode()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hot dog, cat", [["hot", "dog"], ["cat"]]),
        (". hot. . dog.", [["hot"], ["dog"]]),
        ("hot\n dog - cat_bird", [["hot", "dog", "cat", "bird"]]),
        ("dogs' bed, dog's bed", [["dogs", "bed"], ["dog", "bed"]]),
        ("hot/dog|cat (bird)", [["hot"], ["dog"], ["cat"], ["bird"]]),
        ("...", []),
    ],
)
def test_phrase_breaks(text: str, expected: list[list[str]]) -> None:
    assert runs(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"hot\xffdog", [["hot"], ["dog"]]),
        (b"caf\xe9 noir", [["caf"], ["noir"]]),
        (b"caf\xc3", [["caf"]]),
        (b"a\xe2\x82b \xf0\x9f\x90c", [["a"], ["b"], ["c"]]),
        (b"\xc0\xafa\xed\xa0\x80b\xf4\x90\x80\x80c", [["a"], ["b"], ["c"]]),
        (b"\xe2\x82\xc3\xa9t\xc3\xa9", [["ete"]]),
    ],
)
def test_broken_utf8_breaks_a_phrase(text: bytes, expected: list[list[str]]) -> None:
    assert runs(text) == expected


def test_a_lone_surrogate_breaks_a_phrase() -> None:
    assert runs("hot\ud800dog") == [["hot"], ["dog"]]


def test_folding_is_final() -> None:
    for number in range(sys.maxunicode + 1):
        folded = fold_character(chr(number))
        assert "".join(map(fold_character, folded)) == folded
        assert all(character_class(c) is CharacterClass.WORD for c in folded)


def test_code_points_are_all_that_do_not_break() -> None:
    listed = {number: (kind, folding) for number, kind, folding in code_points()}
    assert list(listed) == sorted(listed)
    for number in range(sys.maxunicode + 1):
        kind = character_class(chr(number))
        assert (number in listed) == (kind is not CharacterClass.BREAK)
        if kind is CharacterClass.WORD:
            assert listed[number] == (kind, fold_character(chr(number)))
    assert {chr(n) for n, (kind, _) in listed.items() if kind is CharacterClass.APOSTROPHE} == APOSTROPHES


@given(st.text())
@example("\u0345")  # the iota below a Greek vowel
@example("\u1fb3")
def test_case_and_normal_form_do_not_matter(text: str) -> None:
    assert words(text.casefold()) == words(text)
    assert words(unicodedata.normalize("NFC", text)) == words(unicodedata.normalize("NFD", text))


@given(st.text())
def test_words_are_words(text: str) -> None:
    found = words(text)
    assert all(found)
    assert words(" ".join(found)) == found
    assert runs(" ".join(found)) == ([found] if found else [])
    assert [word for run in runs(text) for word in run] == found


@given(st.binary())
def test_bytes_are_read_as_python_replaces_them(data: bytes) -> None:
    assert runs(data) == runs(data.decode("utf-8", errors="replace"))
