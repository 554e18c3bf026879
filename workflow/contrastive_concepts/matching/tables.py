"""Structs that the compiled loops read and write, and the options of the compiler; drawn in `docs/matching.md`."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numba.core.caching as caching
import numpy as np
import numpy.typing as npt

from contrastive_concepts.provenance import content_sha256
from contrastive_concepts.resources import user_cache

I8 = npt.NDArray[np.int8]
U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
_SOURCES = content_sha256(sorted(Path(__file__).parent.glob("*.py")))


class Captions(NamedTuple):
    """Captions in Arrow's memory, without a copy.

    data (n,): the bytes of all captions. Caption r is data[starts[r] : stops[r]]; both are -1 for a null.
    """

    data: U8
    starts: I64
    stops: I64


class Rules(NamedTuple):
    """max_bytes: longer captions are skipped. phrase: phrase mode, else bag mode. tagged: only nouns count."""

    max_bytes: int
    phrase: bool
    tagged: bool


class Characters(NamedTuple):
    """For each code point its class (`CharacterClass`) and the range of its folded form in `folding` (UTF-8)."""

    classes: U8
    folding_offsets: I32
    folding: U8


class Forms(NamedTuple):
    """Hash table with S slots for all forms, L of which are longer than 8 bytes; see `forms`.

    slots (2 S,): for each slot a form's key and its entry; a long form has 2 * number + 1 instead of an entry.
    displacements (S / 4,), seed (1,). long_chunks: the chunks of the long forms; those of form l begin at
    long_offsets[l]. long_entries (L,).
    """

    slots: U64
    displacements: U32
    seed: U64
    long_offsets: I32
    long_chunks: U64
    long_entries: U64


class Concepts(NamedTuple):
    """W words and their concepts. A concept of several words is anchored at one of them, and checked where it occurs.

    alone (W,): the concept that is this word alone, or -1. anchors (W + 1,): which anchored concepts are a word's.
    anchored (A,): the concept. places (A,): of a phrase, the word's place in it; in a bag, one other word of it (or
    the word itself). checks (A + 1,) into checked_words: of a phrase all its words, in a bag the remaining ones.
    shared_offsets (S + 1,) into shared_words: word W + s is a form of several words, these. In phrases there are
    none, because what stands for several words has keys of its own.
    """

    alone: I32
    anchors: I32
    anchored: I32
    places: I32
    checks: I32
    checked_words: I32
    shared_offsets: I32
    shared_words: I32


class NounModel(NamedTuple):
    """Noun model with R rows and C classes, see `nouns`. All arrays are empty if every form counts.

    row_heads (R,): of a form its class, its weights as the word before and as the word after and its weights under the
    three letter cases, a byte each, the class lowest; its row in the upper 16 bits. kind_rows (7,): the row of each
    kind of unknown form. row_weights (R, 2 C): a form's weights beside the class before, then beside the class after.
    triple_weights (C, C, C): of the classes before, here and after. case_weights (C, 3, 4, 4): of the class and the
    cases here, before and after.
    """

    row_heads: U64
    kind_rows: I32
    row_weights: I8
    triple_weights: I8
    case_weights: I8


class Tables(NamedTuple):
    """All tables of a lexicon."""

    characters: Characters
    forms: Forms
    concepts: Concepts
    nouns: NounModel


class Tokens(NamedTuple):
    """The words of a block of captions. If nouns are told apart, there is a boundary before and after each caption.

    keys: by which they are looked up. lengths: in bytes. cases: of their first letters. heads: of their rows in the
    noun model. broken: whether no phrase goes on there. places: where in `chunks` a long word's bytes begin. entered:
    how many entries of the sequence come before. word: a word's chunks while it is read.
    """

    keys: U64
    lengths: I32
    cases: U8
    heads: U64
    broken: U8
    places: I32
    entered: I32
    chunks: U64
    word: U64


class Scratch(NamedTuple):
    """Working memory of the kernel.

    sequence: the words of concepts among the tokens; owners: which token each is of. begins, stops, valid: of each
    caption its first token and the one behind its last, and whether it is UTF-8. A stamp, word_stamps (W,) and
    concept_stamps (T,), equals clock (1,) where it is this caption's.
    """

    tokens: Tokens
    sequence: I32
    owners: I32
    begins: I32
    stops: I32
    valid: U8
    word_stamps: I32
    concept_stamps: I32
    clock: I32


class Found(NamedTuple):
    """Output of the kernel. concepts: the lists of all captions. ends (rows,): where each caption's list ends.

    statistics (7,): counts of captions and mentions, added to; see `CaptionStatistics`.
    """

    ends: I64
    concepts: I32
    statistics: I64


def jit(function: Function) -> Function:
    """Compile a function that runs without the interpreter lock. The machine code is cached on disk if possible.

    The functions allocate nothing, so numba's runtime is off. With it, reference counting doubles the stage's time.
    """
    return _compiled(function, _OPTIONS)


def part(function: Function) -> Function:
    """The same, but inlined: for functions that run once a caption or word. Otherwise the stage takes 52 % longer."""
    return _compiled(function, _OPTIONS | {"forceinline": True})


def _compiled(function: Function, options: dict[str, Any]) -> Function:
    compiled = numba.njit(**options)(function)
    # Without a writable folder every process compiles.
    with suppress(RuntimeError):
        compiled._cache = _MachineCode(function)  # type: ignore[no-untyped-call]
        # numba checks only the function's own file for changes, but the function calls code in the other files.
        compiled._cache._cache_file._source_stamp = _SOURCES
    return cast(Function, compiled)


class _UserFolder(caching._CacheLocator):
    """A folder in the user's cache for this version of the loops, so that a further copy of the project need not
    compile them. `NUMBA_CACHE_DIR` goes before it, and numba's own places come after it."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        self._py_file, self._line = file, function.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        return str(user_cache("machine-code") / _SOURCES)

    def get_source_stamp(self) -> str:
        return _SOURCES

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> "_UserFolder | None":
        if os.environ.get("NUMBA_CACHE_DIR"):
            return None
        locator = cls(function, file)
        try:
            locator.ensure_cache_path()  # type: ignore[no-untyped-call]
        except (OSError, RuntimeError):  # a home that cannot be written, or none
            return None
        return locator


class _Stored(caching.CompileResultCacheImpl):
    _locator_classes = [_UserFolder, *caching.CompileResultCacheImpl._locator_classes]  # noqa: RUF012


class _MachineCode(caching.FunctionCache):
    _impl_class = _Stored
