"""The paper's own source: the inverted index gives the same X as the captions that it was made from."""

import json
import pickle
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrastive_concepts.captions.concept_index import read_index, stream_index, write_index
from contrastive_concepts.captions.shards import unigram_shards
from contrastive_concepts.cooccurrence.incidence import count_index
from contrastive_concepts.cooccurrence.unigram_index import stream_unigrams
from contrastive_concepts.errors import UserError
from contrastive_concepts.matching.counting import CooccurrenceCounter
from contrastive_concepts.matching.lexicon import Lexicon
from contrastive_concepts.vocabulary.concepts import merge_names

CAPTIONS = [
    "A boat on the water",
    "boats and a dog near water",
    "the dog's bone",
    "hot dog with mustard",
    "water",
    "a man in a boat; two men in boats",
]
# Worked by hand from the captions above; a list names its first caption twice, as the public files do.
INDEX = {
    "boat": [0, 0, 1, 5],
    "water": [0, 0, 1, 4],
    "dog": [1, 1, 2, 3],
    "hot_dog": [3, 3],
    "man": [5, 5],
    "zebra": [],
}


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def counted(tmp_path: Path, index: dict[str, list[int]], block: int) -> tuple[pl.DataFrame, np.ndarray]:
    path = str(write(tmp_path / "index.json", index))
    write_index(stream_index(path), path, tmp_path / "index")
    table, numbers = read_index(tmp_path / "index")
    concepts, _ = merge_names(table["concept"].to_list(), "bag")
    return concepts, count_index(table, numbers, concepts, "bag", block).toarray()


@pytest.mark.parametrize("block", [1, 2, 1000])
def test_index_and_captions_give_the_same_matrix(tmp_path: Path, block: int) -> None:
    concepts, matrix = counted(tmp_path, INDEX, block)
    counter = CooccurrenceCounter(Lexicon.build(concepts["concept"].to_list(), "bag"), 10_000)
    counter.add(pa.array(CAPTIONS))
    assert matrix.tolist() == counter.matrix().toarray().tolist()
    names = concepts["concept"].to_list()
    assert names == ["boat", "water", "dog", "hot dog", "man", "zebra"]
    assert matrix[names.index("boat"), names.index("water")] == 2
    assert matrix[names.index("dog"), names.index("hot dog")] == 1


@given(
    st.dictionaries(
        st.sampled_from(["boat", "sky", "dog", "tree", "car"]), st.lists(st.integers(0, 40), max_size=30), min_size=1
    ),
    st.integers(1, 50),
)
def test_pairs_are_intersections(
    tmp_path_factory: pytest.TempPathFactory, index: dict[str, list[int]], block: int
) -> None:
    concepts, matrix = counted(tmp_path_factory.mktemp("i"), index, block)
    names = concepts["concept"].to_list()
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            assert matrix[i, j] == len(set(index[a]) & set(index[b]))


def test_names_of_one_concept_count_a_caption_once(tmp_path: Path) -> None:
    _, matrix = counted(tmp_path, {"dog": [1, 2], "dogs": [2, 3], "cat": [3]}, 100)
    assert matrix.tolist() == [[3, 1], [1, 1]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": [1, 2', "not a readable search-indices JSON"),
        ("[1, 2]", "the top: found start_array"),
        ('{"a": {"b": 1}}', "concept 'a': found start_map"),
        ('{"a": [1, "x"]}', "concept 'a': found string"),
        ('{"a": [1.5]}', "concept 'a': found 1.5, expected a caption number"),
        ('{"a": [-1]}', "concept 'a': found -1, expected a caption number"),
        ("{}", "found no concept"),
    ],
)
def test_a_broken_index_says_where(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path / "bad.json", content)
    with pytest.raises(UserError, match=message) as caught:
        write_index(stream_index(str(path)), str(path), tmp_path / "index")
    assert "bad.json" in str(caught.value)


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        list(stream_index(str(tmp_path / "none.json")))


UNIGRAMS = [
    {"boat": [0, 0, 1, 5], "water": [0, 0, 1, 4], "Boat": [7]},
    {"dog": [1, 1, 2, 3], "hot": [3, 3], "man": [5, 5], "unasked": "anything"},
]


def write_unigrams(folder: Path, shards: list[dict[str, object]] = UNIGRAMS, **changed: object) -> Path:
    for number, lists in enumerate(shards):
        (folder / f"laion_spacy_combined_unigram_dict_{number}.pkl").write_bytes(pickle.dumps(lists))
    places = {word: number for number, lists in enumerate(shards) for word in lists} | changed
    mapping = folder / "laion_spacy_unigram_to_shard_mapping.pkl"
    mapping.write_bytes(pickle.dumps(places))
    return mapping


def test_concepts_of_the_unigram_index(tmp_path: Path) -> None:
    mapping = write_unigrams(tmp_path)
    found = dict(stream_unigrams(mapping, ["Boats", "hot_dog", "water", "zebra dog", "zebra", "dog boat water"]))
    assert {concept: numbers.tolist() for concept, numbers in found.items()} == {
        "Boats": [0, 1, 5],
        "hot_dog": [3],
        "water": [0, 1, 4],
        "zebra dog": [1, 2, 3],
        "zebra": [],
        "dog boat water": [1],
    }
    assert [path[-5] for path in unigram_shards(mapping)] == ["0", "1"]


def test_both_forms_of_the_index_give_the_same_matrix(tmp_path: Path) -> None:
    mapping = write_unigrams(tmp_path)
    write_index(stream_unigrams(mapping, list(INDEX)), str(mapping), tmp_path / "unigrams")
    table, numbers = read_index(tmp_path / "unigrams")
    concepts, expected = counted(tmp_path, INDEX, 2)
    assert count_index(table, numbers, concepts, "bag", 3).toarray().tolist() == expected.tolist()


@given(
    lists=st.dictionaries(st.sampled_from(["boat", "sky", "dog", "tree"]), st.lists(st.integers(0, 30)), min_size=1),
    shards=st.integers(1, 3),
    concepts=st.lists(st.lists(st.sampled_from(["boat", "sky", "dog", "tree", "zebra"]), min_size=1, max_size=3)),
)
def test_a_concept_of_several_words_is_their_intersection(
    tmp_path_factory: pytest.TempPathFactory, lists: dict[str, list[int]], shards: int, concepts: list[list[str]]
) -> None:
    parts: list[dict[str, object]] = [
        {word: found for place, (word, found) in enumerate(lists.items()) if place % shards == shard}
        for shard in range(shards)
    ]
    mapping = write_unigrams(tmp_path_factory.mktemp("u"), parts)
    for concept, numbers in stream_unigrams(mapping, [" ".join(concept) for concept in concepts]):
        known = [set(lists[word]) for word in concept.split() if word in lists]
        assert numbers.tolist() == sorted(set.intersection(*known) if known else set())


@pytest.mark.parametrize(
    ("changed", "asked", "message"),
    [
        ({"boat": "0"}, "boat", r"mapping.pkl: 'boat': found '0', expected the number of a pickle"),
        ({"boat": 7}, "boat", r"dict_7.pkl: cannot be read"),
        ({"boat": 1}, "boat", r"dict_1.pkl: 'boat': found NoneType, expected a list of caption numbers"),
        ({}, "unasked", r"dict_1.pkl: 'unasked': found str, expected a list of caption numbers"),
    ],
)
def test_a_broken_unigram_index_says_where(
    tmp_path: Path, changed: dict[str, object], asked: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        list(stream_unigrams(write_unigrams(tmp_path, **changed), [asked]))


def test_a_hostile_unigram_index_is_not_run(tmp_path: Path) -> None:
    mapping = write_unigrams(tmp_path)
    mapping.write_bytes(b"cos\nsystem\n(S'touch trace'\ntR.")
    with pytest.raises(UserError, match=r"found os\.system"):
        list(stream_unigrams(mapping, ["boat"]))
    with pytest.raises(UserError, match="expected the map of a unigram index"):
        list(stream_unigrams(tmp_path / "laion_spacy_combined_unigram_dict_0.pkl", ["boat"]))
