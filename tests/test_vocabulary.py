"""The concept list: read, merged, mined."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from contrastive_concepts.captions.manifest import inspect_shard
from contrastive_concepts.captions.shards import find_shards
from contrastive_concepts.errors import UserError
from contrastive_concepts.matching.counting import CooccurrenceCounter
from contrastive_concepts.matching.lexicon import Lexicon
from contrastive_concepts.toyworld.captions import caption_image
from contrastive_concepts.vocabulary.concepts import clean_name, merge_names, merged_into, read_names
from contrastive_concepts.vocabulary.mining import (
    PART,
    as_text,
    best_form,
    further_words,
    mine_concepts,
    sample_captions,
)
from contrastive_concepts.vocabulary.tagger import load_tagger, part_of_speech
from tests.helpers import written_captions


def test_names_are_read_from_every_format(tmp_path: Path) -> None:
    names = ["boat", "hot_dog", "café"]
    (tmp_path / "a.txt").write_text("\ufeffboat\nhot_dog\r\ncafé\n")
    (tmp_path / "b.json").write_text(json.dumps(names))
    (tmp_path / "c.json").write_text(json.dumps(dict.fromkeys(names, 1)))
    pl.DataFrame({"count": [1, 2, 3], "concept": names}).write_parquet(tmp_path / "d.parquet")
    for file in ("a.txt", "b.json", "c.json", "d.parquet"):
        assert read_names(tmp_path / file) == names, file


def test_unreadable_vocabularies_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('["boat", 3]')
    (tmp_path / "b.json").write_text('"boat"')
    (tmp_path / "c.parquet").write_bytes(b"no")
    (tmp_path / "d.txt").write_bytes(b"caf\xe9")
    pl.DataFrame({"x": ["a"], "y": ["b"]}).write_parquet(tmp_path / "e.parquet")
    for file, message in (
        ("a.json", "entry 2: found 3"),
        ("b.json", "expected a list of concepts"),
        ("c.parquet", "not a readable vocabulary"),
        ("d.txt", "line 1: byte 3 is not UTF-8"),
        ("e.parquet", "found columns x, y; expected a text column named concept"),
        ("f.txt", "not found, expected a list of concepts"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            read_names(tmp_path / file)
        assert file in str(caught.value)


def test_duplicates_after_normalisation_are_merged_and_reported() -> None:
    names = ["dog", "Dogs", "hot_dog", "dog hot", "hot  dogs", "!!!", "", "geese", "goose", "dog"]
    concepts, merged = merge_names(names, "bag")
    assert concepts["concept"].to_list() == ["dog", "hot dog", "geese"]
    assert merged.rows() == [
        ("Dogs", "dog", "same words after normalisation"),
        ("dog hot", "hot dog", "same words after normalisation"),
        ("hot dogs", "hot dog", "same words after normalisation"),
        ("!!!", None, "no word in it"),
        ("goose", "geese", "same words after normalisation"),
        ("dog", "dog", "repeated"),
    ]
    assert merged_into(names[:3], concepts, "bag") == [0, 0, 1]


def test_word_order_tells_phrases_apart() -> None:
    concepts, _ = merge_names(["house boat", "boat house"], "phrase")
    assert concepts["concept"].to_list() == ["house boat", "boat house"]
    assert merge_names(["house boat", "boat house"], "bag")[0].height == 1


def test_names_keep_their_case_and_lose_their_underscores() -> None:
    assert clean_name(" 3D_CG  rendering ") == "3D CG rendering"


def test_mined_concepts_are_frequent_nouns_and_phrases_that_belong_together() -> None:
    captions = [f"a {colour} boat on the water" for colour in ("red", "blue", "white", "old", "new")] * 4
    captions += ["two hot dogs on a table", "a hot dog and two men", "he runs quickly to the hot dog stand"] * 4
    mined = mine_concepts(captions, size=100, min_count=4)
    counts = dict(mined.iter_rows())
    assert counts["boat"] == counts["water"] == 20
    assert counts["hot dog"] == 12
    assert counts["man"] == 4
    assert not {"quickly", "on", "run", "red boat"} & set(counts)
    assert mined["captions"].is_sorted(descending=True)
    assert mine_concepts(captions, size=2, min_count=4)["concept"].to_list() == mined["concept"].to_list()[:2]
    assert "hot dog" not in mine_concepts(captions, size=100, min_count=4, phrases=False)["concept"]


def test_parts_and_processes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    captions = [caption_image(0, image) for image in range(PART + 700)]
    in_parts, in_processes = (
        mine_concepts(captions, size=1000, min_count=2, phrase_npmi=0.2, processes=processes) for processes in (1, 2)
    )
    monkeypatch.setattr("contrastive_concepts.vocabulary.mining.PART", len(captions))
    whole = mine_concepts(captions, size=1000, min_count=2, phrase_npmi=0.2)
    assert any(" " in name for name in whole["concept"])
    assert in_parts.equals(whole)
    assert in_processes.equals(whole)


def test_the_tagger_tags_without_torch_and_leaves_it_to_others() -> None:
    program = (
        "import sys\n"
        "from contrastive_concepts.vocabulary.tagger import load_tagger\n"
        "print([token.pos_ for token in load_tagger('lemmatizer')('a red boat')], 'torch' in sys.modules)\n"
        "import torch\n"
        "print(torch.ones(2).sum().item())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['DET', 'ADJ', 'NOUN'] False", "2.0"]


def test_a_looked_up_part_of_speech_is_that_of_the_whole_pipeline() -> None:
    tagger = load_tagger("lemmatizer")
    rules = [word for rule in tagger.get_pipe("attribute_ruler").patterns for word in _asked_for(rule)]
    texts = [as_text(caption or "") for caption in written_captions()] + [" ".join(rules), *rules]
    read = [(token, part_of_speech(token.tag_, token.lower_)) for text in tagger.pipe(texts) for token in text]
    assert len({speech for _, speech in read}) > 12
    assert [speech for _, speech in read] == [token.pos_ for token, _ in read]


def _asked_for(rule: dict[str, Any]) -> Iterator[str]:
    """Yield the words that a rule of spaCy asks for."""
    for pattern in rule["patterns"]:
        for word in pattern:
            asked = word.get("LOWER", {})
            yield from [asked] if isinstance(asked, str) else asked.get("IN", [])


def test_the_sample_is_spread_over_the_corpus(tmp_path: Path) -> None:
    for shard in range(4):
        pl.DataFrame({"TEXT": [f"caption {shard} {row}" for row in range(250)]}).write_parquet(
            tmp_path / f"{shard}.parquet"
        )
    records = [inspect_shard(shard) for shard in find_shards(["*.parquet"], str(tmp_path))]
    sample = sample_captions(records, 100)
    assert len(sample) == 100
    assert Counter(text.split()[1] for text in sample) == {"0": 25, "1": 25, "2": 25, "3": 25}
    assert sample == sample_captions(records, 100)
    assert len(sample_captions(records, 10_000)) == 1000


def test_plurals_of_concepts_and_of_further_words_are_further_words(tmp_path: Path) -> None:
    places = ("harbour", "beach", "garden", "street", "museum")
    captions = [f"Two {things} in the {place}" for place in places for things in ("boats", "puppies", "fire hydrants")]
    captions += [f"a {thing} near the {place}" for place in places for thing in ("boat", "puppy", "fire hydrant")]
    pl.DataFrame({"TEXT": captions}).write_parquet(tmp_path / "shard.parquet")
    records = [inspect_shard(shard) for shard in find_shards(["*.parquet"], str(tmp_path))]
    concepts, _ = merge_names(["boat", "fire hydrant", "traffic light"], "bag")
    found = further_words(records, concepts, 2, "bag")
    words, others = found["concept"].to_list()[:2], set(found["concept"].to_list()[2:])
    assert "puppy" in words
    # Of the concepts also those that no caption uses.
    assert {"boats", "puppies", "fire hydrants", "traffic lights"} <= others
    # What is neither a concept nor among the two words has no forms either.
    assert not others & {"boat", "puppy", "fire hydrant", "harbour", "beach"}
    assert dict(found.iter_rows())["boats"] == 5


def mined(captions: list[str], min_count: int = 4) -> dict[str, int]:
    return dict(mine_concepts(captions, size=1000, min_count=min_count).iter_rows())


def test_concepts_are_named_as_captions_say_them() -> None:
    captions = [
        "a man in black sunglasses and blue jeans cuts his clothes with scissors",
        "she wears pants and shorts and eats three cookies",
        "two flowers and two dogs beside a bus with a broken lens",
        "my glasses beside a glass of beer",
        "polka dots on swimming trunks and a sports bra, with french fries",
    ] * 4 + ["a flower and a dog", "a hot dog", "hot dogs", "hot dogs", "hot dogs"] * 2
    found = mined(captions)
    assert {
        "sunglasses", "jeans", "clothes", "scissors", "pants", "shorts", "cookie", "flower", "dog", "bus", "lens",
        "glass", "glasses", "hot dog", "sports bra", "french fries",
    } <= set(found)  # fmt: skip
    wrong = {"sunglass", "jean", "clothe", "scissor", "pant", "short", "cooky", "cookies", "flowers", "len", "bu"}
    assert not wrong & {word for name in found for word in name.split()}
    assert found["glass"] == found["glasses"] == 4


@pytest.mark.parametrize(
    ("noun", "said", "name"),
    [
        ("flower", {"flower": 30, "flowers": 90}, "flower"),
        ("dune", {"dunes": 18}, "dunes"),
        ("dune", {"dune": 1, "dunes": 21}, "dunes"),
        ("dune", {"dune": 1, "dunes": 20}, "dune"),
        ("man", {"men": 4}, "man"),
        ("carnita", {"carnitas": 2}, "carnitas"),
        ("clothes", {"clothes": 3}, "clothes"),
        ("datum", {"data": 8}, "datum"),
    ],
)
def test_the_plural_is_a_name_where_the_singular_is_hardly_said(noun: str, said: dict[str, int], name: str) -> None:
    assert best_form(noun, said) == name


def test_a_name_is_found_in_the_captions_that_it_was_mined_from() -> None:
    captions = [
        "the cookies and clothes of two men",
        "wolves, geese and leaves",
        "x-ray of a t-shirt, bases loaded",
    ] * 5
    names = list(mined(captions))
    concepts, merged = merge_names(names, "bag")
    assert merged.is_empty()
    matrix = CooccurrenceCounter(Lexicon.build(names), 1000)
    matrix.add(pa.array(captions))
    counts = mined(captions)
    assert [int(n) for n in matrix.matrix().diagonal()] == [counts[name] for name in concepts["concept"]]


def test_letters_units_numerals_and_pronouns_are_no_mined_concepts() -> None:
    captions = [
        "one of the ones that someone gave me, everything and nothing of mine for anyone who says this or that",
        "for the first time a lot of sugar, lots of it, a bit of salt, at 5 pm or 8 am",
        "a 50 mm lens, 50mm, 3 cm, 5 g sugar, 2 oz, 3d, 4k, 1080p, 100ml, a dozen, hundreds, a second one",
        "the e, the g, the t, the x, the d and the s",
    ] * 5
    found = {word for name in mined(captions) for word in name.split()}
    assert {"sugar", "salt", "lens"} <= found
    unwanted = (
        "one ones someone everything nothing mine anyone who this that first time lot lots bit pm am mm 50mm cm g oz 3d "
        "4k 1080p 100ml dozen hundred hundreds second e t x d s"
    )
    assert not (set(unwanted.split()) - {"time"}) & found
    assert "first time" not in mined(captions)


def test_letters_and_quantities_stay_in_phrases_and_in_lists() -> None:
    captions = [
        "my t-shirt and an x-ray in the parking lot",
        "a t shirt, a 3d printer and a drill bit",
        "an old tv",
    ] * 6
    found = set(mined(captions))
    assert {"t shirt", "x ray", "parking lot", "drill bit", "tv", "shirt", "printer"} <= found
    assert not {"t", "x", "lot", "bit", "3d"} & found
    given = ["e", "mm", "3d", "one", "lot", "first time", "pm"]
    assert merge_names(given, "bag")[0]["concept"].to_list() == given


def test_what_is_no_language_is_no_mined_concept() -> None:
    captions = [
        "a boat &amp; a dog &quot;on&quot; the lake&nbsp;shore &#39;21, &amp;quot;Big&amp;quot; &lt;3",
        "boat photo from http://www.example.com/a/boat.jpg?x=1 and www.images.de or shop.example.org/lake",
        "IMG_1234.JPG of a dog, DSC00123.jpg, lake-view(2).png, dog.final.pdf, mail me@example.com",
        "<b>dog</b> <br /> <img src='x.png' alt='boat'> a usr img jpg com html www https",
        "dog 10x20 4 of 12, iii, mp3 c10 x200 b2b 1080p, a r b dog",
    ] * 5
    found = {word for name in mined(captions) for word in name.split()}
    assert {"boat", "dog", "lake"} <= found
    junk = (
        "amp quot nbsp lt gt jpg jpeg png pdf img dsc com www http https html href src alt usr example iii mp3 c10 x200 "
        "b2b 1080p 10x20 r b br org de"
    )
    assert not set(junk.split()) & found
    assert not [word for word in found if any(map(str.isdigit, word))]
    assert as_text("Dolce &amp; Gabbana, 3 < 5, U.S. and St.Patrick") == "Dolce & Gabbana, 3 < 5, U.S. and St.Patrick"


def test_proper_nouns_are_an_option_and_keep_their_capitals() -> None:
    captions = ["a boat near London", "Paris and the Eiffel Tower at night", "London seen from a boat", "an orange"] * 6
    without = mine_concepts(captions, size=100, min_count=4)["concept"].to_list()
    assert "boat" in without
    assert not [name for name in without if name != name.lower() or name in ("london", "paris")]
    found = mine_concepts(captions, size=100, min_count=4, proper_nouns=True)["concept"].to_list()
    assert {"London", "Paris", "Eiffel Tower", "boat", "orange"} <= set(found)
