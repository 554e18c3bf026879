"""What the compiled loops share: the lexicon's arrays, room for a block of captions, and how they are compiled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from contrastive_concepts.provenance import content_sha256

I8 = npt.NDArray[np.int8]
U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
_SOURCES = content_sha256(sorted(Path(__file__).parent.glob("*.py")))


class Tables(NamedTuple):
    """The lexicon as the compiled loops read it: W words, A anchored concepts, L long forms, C classes of R rows.

    character_class (0x110000,): see `CharacterClass`. folding_offsets (0x110001,) into folding: UTF-8 of each folding.
    slots (2 S,), displacements, seed (1,): the form table, see `forms`: in each of S places a form's key and its entry,
    or twice the number of a form of more than eight bytes, plus 1. long_offsets (L + 1,) into long_chunks: folded UTF-8
    of each of these; long_entries (L,).
    words (4 W,): of each the concept that is this word alone, or -1; the first of the anchored concepts, which are
    checked where this word occurs, and the one behind their last; 0.
    anchored (4 A,): of each the concept; of a phrase, the word's place in it and its first and last in anchored_words,
    all its words; in a bag, one other word of it (or the word itself), and the first and last of the remaining ones.
    shared_offsets (S + 1,) into shared_words: a word of number W + s is a form of several words, these. In phrases
    there are none, because what stands for several words has keys of its own.
    row_heads (R,): the class of a form, its weight as the word before and after, its weights in three letter cases, a
    byte each, the class lowest; its row above them. row_weights (R, 2 C), triple_weights (C, C, C), case_weights
    (C, 3, 4, 4), kind_rows (kinds,): the noun model, see `noun_model`; all empty where every form counts.
    """

    character_class: U8
    folding_offsets: I32
    folding: U8
    slots: U64
    seed: U64
    displacements: U32
    long_offsets: I32
    long_chunks: U64
    long_entries: U64
    words: I32
    anchored: I32
    anchored_words: I32
    shared_offsets: I32
    shared_words: I32
    row_heads: U64
    row_weights: I8
    triple_weights: I8
    case_weights: I8
    kind_rows: I32


class Scratch(NamedTuple):
    """Room for a block of captions, and for one.

    word: a word's chunks while it is read. Of the captions' words, with a boundary before and after each caption's if
    nouns are told apart: keys, by which they are looked up; sizes, four times the length in bytes plus the letter case;
    chunks, of a long word from its place on; broken, whether no phrase goes on there; heads, what the noun model says;
    entered, how many entries come before. sequence: the entries, words of concepts; tokens: which of the words each is.
    begins, stops, valid: of each caption its first word and the one behind its last, and whether it is UTF-8; firsts,
    ends: where its entries begin and end. A stamp equals `clock` where it is this caption's.
    """

    word: U64
    keys: U64
    sizes: I32
    places: I32
    chunks: U64
    broken: U8
    heads: U64
    entered: I32
    sequence: I32
    tokens: I32
    begins: I64
    stops: I64
    valid: U8
    firsts: I64
    ends: I64
    word_stamps: I32
    concept_stamps: I32
    clock: I32


def jit(function: Function) -> Function:
    """Compile without the interpreter lock; keep the machine code on disk where there is a place to write it.

    Nothing here allocates: without numba's runtime, the arrays' reference counts are left alone (measured: 1.7 times
    as fast).
    """
    return _compiled(function, _OPTIONS)


def part(function: Function) -> Function:
    """The same for what runs for every caption or word: put into its caller, which spares handing all tables over."""
    return _compiled(function, _OPTIONS | {"forceinline": True})


def _compiled(function: Function, options: dict[str, Any]) -> Function:
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # a read-only install without a writable home
        return cast(Function, numba.njit(**options)(function))
    # numba looks at the function's own file alone; what it calls stands in others, and must not go stale.
    compiled._cache._cache_file._source_stamp = _SOURCES
    return cast(Function, compiled)
