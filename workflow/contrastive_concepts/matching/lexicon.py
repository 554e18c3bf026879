"""The lexicon: |T| concepts compiled into the flat tables that the kernel reads."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Literal, Self, get_args
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.matching.forms import entry, form_arrays
from contrastive_concepts.matching.nouns import Nouns, Tagger, empty_model, kind_of, load_model, model_sha256, packed
from contrastive_concepts.matching.tables import Characters, Concepts, Forms, Tables
from contrastive_concepts.vocabulary.lemmas import concept_key, forms_of
from contrastive_concepts.vocabulary.words import code_points

Mode = Literal["bag", "phrase"]
LAYOUT = 6


@dataclass(frozen=True)
class Lexicon:
    """Concepts in the given order, with the tables that the kernel uses to find them.

    bag: a caption mentions a concept if all its words occur in it, in any order and at any distance (as in [62]).
    phrase: its words occur next to each other, in order, with nothing but white space, hyphens or apostrophes between.
    Concepts overlap freely: "hot dog" mentions "dog" too. Concepts with the same words are counted each. A form of two
    words of the vocabulary, as "bases" of base and basis, mentions both.
    """

    concepts: tuple[str, ...]
    mode: Mode
    nouns: Nouns
    tagger: Tagger
    model: str
    arrays: dict[str, npt.NDArray[Any]]

    @classmethod
    def build(cls, concepts: Sequence[str], mode: Mode = "bag", nouns: Nouns = "all", tagger: Tagger = "table") -> Self:
        """Compile the concepts. Raises UserError for a concept without a word, or an unknown setting.

        With `nouns` other than all, a word counts where it is a noun, by the shipped table or by spaCy (`tagger`); of
        a phrase only the last word, its head, need be one.
        """
        for name, value, known in (("mode", mode, Mode), ("nouns", nouns, Nouns), ("tagger", tagger, Tagger)):
            if value not in get_args(known):
                raise UserError(f"matching.{name}: found {value!r}, expected {' or '.join(get_args(known))}")
        if tagger == "spacy" and (nouns == "all" or mode == "phrase"):
            raise UserError(
                f"matching.tagger: found spacy with mode {mode} and nouns {nouns}, "
                "expected mode bag and nouns filtered or index"
            )
        keys = []
        for number, concept in enumerate(concepts):
            key = concept_key(concept)
            if not key:
                raise UserError(f"concept {number}: found {concept!r}, expected a name with a letter or a digit")
            keys.append(tuple(sorted(set(key))) if mode == "bag" else key)
        word_ids = {word: number for number, word in enumerate(dict.fromkeys(word for key in keys for word in key))}
        by_table = nouns != "all" and tagger == "table"
        rows, model = load_model(nouns) if by_table else ({}, empty_model())
        # spaCy gives lemmas, which are looked up without further forms.
        spoken = {word: (word,) for word in word_ids} if tagger == "spacy" else forms_of(word_ids)
        # A form of several words gets a number of its own, behind the words of the concepts.
        shared = list(dict.fromkeys(nouns for nouns in spoken.values() if len(nouns) > 1))
        numbers: dict[tuple[str, ...], int] = {(word,): number for word, number in word_ids.items()}
        numbers |= {nouns: number for number, nouns in enumerate(shared, len(word_ids))}
        coded = [tuple(word_ids[word] for word in key) for key in keys]
        meant = [tuple(word_ids[word] for word in nouns) for nouns in shared]
        forms = {form: numbers[nouns] for form, nouns in spoken.items()}
        forms |= {form: -1 for form in rows if form not in forms}
        entries = [
            entry(word, rows[form] if form in rows else int(model["kind_rows"][kind_of(form)]) if by_table else 0)
            for form, word in forms.items()
        ]
        arrays = form_arrays([form.encode() for form in forms], entries)
        arrays |= model | _concept_arrays(coded, len(word_ids), meant, mode) | _folding_arrays()
        return cls(tuple(concepts), mode, nouns, tagger, model_sha256() if by_table else "", arrays)

    @property
    def tagged(self) -> bool:
        """Whether the kernel tells nouns apart."""
        return bool(self.model)

    @cached_property
    def settings(self) -> dict[str, str]:
        """Everything that the counts depend on. Only counts with the same settings can be added."""
        names = "\n".join(self.concepts).encode()
        return {
            "mode": self.mode,
            "nouns": self.nouns,
            "tagger": self.tagger,
            "model": self.model,
            "concepts": hashlib.sha256(names).hexdigest()[:16],
        }

    @cached_property
    def tables(self) -> Tables:
        """The tables that the kernel reads."""
        arrays = self.arrays
        classes = np.zeros(0x110000, np.uint8)
        classes[arrays["points"]] = arrays["point_classes"]
        offsets = np.zeros(0x110001, np.int32)
        offsets[arrays["points"] + 1] = arrays["folding_lengths"]
        np.cumsum(offsets, out=offsets)
        return Tables(
            Characters(classes, offsets, arrays["folding"]),
            Forms(*(arrays[name] for name in Forms._fields)),
            Concepts(*(arrays[name] for name in Concepts._fields)),
            packed(arrays),
        )

    @property
    def words(self) -> int:
        """Number of distinct lemmas; in phrase mode also of the forms that belong to several lemmas."""
        return len(self.arrays["alone"])

    @property
    def longest_form(self) -> int:
        """Length of the longest surface form in chunks."""
        return int(np.diff(self.arrays["long_offsets"]).max(initial=1))

    def save(self, path: str | Path) -> None:
        """Write a .npz file without pickled objects."""
        names = [concept.encode() for concept in self.concepts]
        content: dict[str, Any] = self.arrays | {
            "layout": np.int64(LAYOUT),
            "settings": np.frombuffer(json.dumps(self.settings).encode(), np.uint8),
            "names": np.frombuffer(b"".join(names), np.uint8),
            "name_offsets": _offsets(map(len, names)),
        }
        with open(path, "wb") as file:
            np.savez_compressed(file, **content)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote. Raises UserError for any other file."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            layout = int(arrays.pop("layout"))
            if layout != LAYOUT:
                raise UserError(f"{path}: found a lexicon of layout {layout}, expected {LAYOUT}; build it again")
            settings = json.loads(arrays.pop("settings").tobytes())
            names, offsets = arrays.pop("names"), arrays.pop("name_offsets")
            concepts = tuple(names[a:b].tobytes().decode() for a, b in pairwise(offsets))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise UserError(f"{path}: not a readable lexicon ({one_line(error)})") from None
        return cls(concepts, settings["mode"], settings["nouns"], settings["tagger"], settings["model"], arrays)


def _concept_arrays(
    keys: Sequence[tuple[int, ...]], words: int, meant: Sequence[tuple[int, ...]], mode: Mode
) -> dict[str, npt.NDArray[Any]]:
    """Build the arrays of `Concepts`. A concept of several words is checked at its word that fewest concepts contain.

    `meant`: of each shared form, which is a word behind the first `words`, the words that it is a form of. In a bag the
    kernel takes it for all of these. In a phrase it may stand in the place of each, which gives a concept several keys.
    """
    spelled = [(concept, key, True) for concept, key in enumerate(keys)]
    if mode == "phrase":
        alternatives = [[word] for word in range(words)]
        for number, nouns in enumerate(meant, words):
            for word in nouns:
                alternatives[word].append(number)
        choices = [[alternatives[word] for word in key] for key in keys]
        spelled = [
            (concept, key, all(len(words) == 1 for words in choice))
            for concept, choice in enumerate(choices)
            for key in product(*choice)
        ]
        words, meant = words + len(meant), []
    single = np.full(words, -1, np.int32)
    shared = np.bincount([word for _, key, _ in spelled for word in set(key)], minlength=words)
    anchored: list[list[tuple[int, int, tuple[int, ...]]]] = [[] for _ in range(words)]
    for concept, key, alone in spelled:
        if len(key) == 1 and alone and single[key[0]] < 0:
            single[key[0]] = concept
            continue
        shift = min(range(len(key)), key=lambda place, key=key: shared[key[place]])  # type: ignore[misc]
        if mode == "phrase":
            anchored[key[shift]].append((concept, shift, key))
        else:
            other, *more = (*key[:shift], *key[shift + 1 :]) or key
            anchored[key[shift]].append((concept, other, tuple(more)))
    flat = [entry for entries in anchored for entry in entries]
    return {
        "alone": single,
        "anchors": _offsets(map(len, anchored)),
        "anchored": np.array([concept for concept, _, _ in flat], np.int32),
        "places": np.array([place for _, place, _ in flat], np.int32),
        "checks": _offsets(len(checked) for _, _, checked in flat),
        "checked_words": np.array([word for _, _, checked in flat for word in checked], np.int32),
        "shared_offsets": _offsets(map(len, meant)),
        "shared_words": np.array([word for nouns in meant for word in nouns], np.int32),
    }


@lru_cache(maxsize=1)
def _folding_arrays() -> dict[str, npt.NDArray[Any]]:
    points, classes, foldings = zip(*code_points(), strict=True)
    encoded = [folding.encode() for folding in foldings]
    return {
        "points": np.array(points, np.int32),
        "point_classes": np.array(classes, np.uint8),
        "folding_lengths": np.array([len(folding) for folding in encoded], np.uint8),
        "folding": np.frombuffer(b"".join(encoded), np.uint8).copy(),
    }


def _offsets(lengths: Iterable[int]) -> npt.NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum(np.fromiter(lengths, np.int64))]).astype(np.int32)
