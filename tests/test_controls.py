"""Controls: contrastive sets that were not mined, to compare mined ones with."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contrastive_concepts.config.benchmark import BenchmarkSettings
from contrastive_concepts.config.contrastive_sets import (
    BackgroundWordsSet,
    BoostedBackgroundSet,
    EmptySet,
    PseudoSet,
    RandomSet,
)
from contrastive_concepts.config.load import parse_config
from contrastive_concepts.config.selection import SelectionSettings
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation import contrastive_sets as cs
from contrastive_concepts.evaluation.classic import evaluate_classic
from contrastive_concepts.evaluation.contrastive_sets import NEAREST, load_sets, resolve, save_sets
from contrastive_concepts.evaluation.features import encode_samples
from contrastive_concepts.evaluation.inputs import check_benchmark
from contrastive_concepts.evaluation.protocol import EncodedImage, average, encode
from contrastive_concepts.evaluation.scoring import Experiment, evaluate_single
from contrastive_concepts.evaluation.single import single_query
from contrastive_concepts.evaluation.texts import benchmark_texts
from contrastive_concepts.resources import RESOURCES
from contrastive_concepts.segmenters import build
from contrastive_concepts.selection.select import Thresholds, select_all
from contrastive_concepts.text_files import read_lines
from tests.project import Project
from tests.scenes import CLASSES, CONCEPTS, QUERIES, SMALL, scene, scorer_of, vectors
from tests.synthetic_clip import masker
from tests.test_benchmark import stage_tables
from tests.test_benchmark_config import changed

NAMES = [CLASSES[label] for label in QUERIES]
LIKE = cs.from_mapping("ccd", CONCEPTS, background=True)
WORDS = [f"w{number}" for number in range(40)]


def boosted(boost: float) -> cs.ContrastiveSet:
    return resolve("boosted", BoostedBackgroundSet(kind="boosted_background", boost=boost), CLASSES, NAMES)


SEGMENTERS = ("maskclip", "gem", "sclip", "tcl", "refined")


@pytest.fixture(scope="module")
def segmenters(small_clip: Any) -> dict[str, Any]:
    return {
        "maskclip": build("maskclip", small_clip),
        "gem": build("gem", small_clip),
        "sclip": build("sclip", small_clip),
        "tcl": build("tcl", small_clip, checkpoint=masker(layers=2), refine=True),
        "refined": build("naclip", small_clip, refine=True),
    }


def test_the_background_words_are_the_stuff_that_data_sets_share() -> None:
    lists = {path.stem: read_lines(path, "names") for path in (RESOURCES / "classes").glob("*.txt")}
    # COCO-Stuff's last 91 classes are stuff. `wall-brick`, `sky-other` and `door-stuff` are a wall, a sky and a door.
    stuff = {name.partition("-")[0] for name in lists["coco_stuff"][80:]}
    others = {*lists["ade20k"], *lists["context59"], *lists["cityscapes"]}
    assert read_lines(RESOURCES / "background_words.txt", "words") == sorted(stuff & others)


def test_background_words_are_the_same_for_each_query_but_its_own(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("sky\nwater\n\nwall\n")
    settings = BackgroundWordsSet(kind="background_words")
    made = resolve("x", settings, CLASSES, NAMES, text=tmp_path / "words.txt")
    assert made.negatives("boat") == ("background", "sky", "water", "wall")
    assert made.negatives("water") == ("background", "sky", "wall")
    alone = settings.model_copy(update={"background": False})
    assert resolve("x", alone, CLASSES, NAMES, text=tmp_path / "words.txt").negatives("water") == ("sky", "wall")


def test_the_empty_text_is_a_negative_that_is_embedded_and_scored(segmenters: dict[str, Any], tmp_path: Path) -> None:
    made = resolve("x", EmptySet(kind="empty"), CLASSES, NAMES)
    assert made.negatives("boat") == ("",)
    both = resolve("x", EmptySet(kind="empty", background=True), CLASSES, NAMES)
    assert both.negatives("boat") == ("background", "")
    save_sets(tmp_path / "x.json", {"x": made})
    assert load_sets(tmp_path / "x.json")["x"].negatives("dog") == ("",)
    assert benchmark_texts(NAMES, [made]) == ["background", *NAMES, ""]
    # In other sets an empty text is no negative.
    assert cs.from_mapping("x", {"dog": ["", "grass"]}).negatives("dog") == ("grass",)
    other = cs.from_mapping("x", {name: ["nothing"] for name in NAMES})

    def embed(texts: Any) -> Any:
        return vectors([text or "nothing" for text in texts])

    found, expected = evaluate_single(segmenters["maskclip"], scene(), CLASSES, QUERIES, [made, other], embed, SMALL)
    assert found.iou_single() == expected.iou_single()
    assert 0 < found.iou_single() < 1
    assert set(found.taken["boat"]) == {""}


@pytest.mark.parametrize("name", SEGMENTERS)
def test_a_boost_of_zero_is_background_and_a_large_one_takes_all(segmenters: dict[str, Any], name: str) -> None:
    sets = [cs.background_only(), boosted(0), boosted(0.02), boosted(2)]
    scores = evaluate_single(segmenters[name], scene(), CLASSES, QUERIES, sets, vectors, SMALL)
    plain, zero, some, all_of_it = scores
    assert np.array_equal(plain.intersection, zero.intersection)
    assert np.array_equal(plain.union, zero.union)
    assert plain.taken == zero.taken
    assert all_of_it.iou_single() == 0
    assert plain.intersection.sum() > some.intersection.sum() > 0
    classic = [evaluate_classic(segmenters[name], scene(), CLASSES, QUERIES, s, vectors, SMALL) for s in sets]
    assert classic[0].miou() == classic[1].miou() != classic[2].miou()
    # All pixels are background: its IoU is its share, and the others have none.
    assert classic[3].iou()[1:].tolist() == [0, 0, 0, 0]


def masks_by_hand(segmenter: Any, encoded: EncodedImage, query: str, boost: float) -> np.ndarray[Any, Any]:
    """The mask of a query beside "background", with the boost added to one of two maps of cosines."""
    from torch.nn.functional import interpolate

    texts = torch.from_numpy(vectors([query, "background"]))
    cosines = segmenter.similarities(encoded.features, texts) + torch.tensor([0, boost]).view(-1, 1, 1)
    averaged = average(encoded.windows, interpolate(cosines, encoded.features.size, mode="bilinear"), *encoded.resized)
    first, second = interpolate(averaged[None], encoded.original, mode="bilinear")[0]
    return (first >= second).numpy()


@pytest.mark.parametrize("boost", [-0.03, 0.05])
def test_a_boost_is_added_to_the_cosine(segmenters: dict[str, Any], boost: float) -> None:
    segmenter, samples = segmenters["sclip"], scene()
    [scores] = evaluate_single(segmenter, samples, CLASSES, QUERIES, [boosted(boost)], vectors, SMALL)
    for row, sample in enumerate(samples):
        encoded = encode(segmenter, sample.image, SMALL)
        for label in set(QUERIES) & set(sample.labels.ravel().tolist()):
            mask, truth = masks_by_hand(segmenter, encoded, CLASSES[label], boost), sample.labels == label
            assert abs(int((mask & truth).sum()) - scores.intersection[row, label]) <= 3


def test_sets_with_and_without_a_boost_are_scored_together(segmenters: dict[str, Any]) -> None:
    """One pass with all sets gives what a pass for each gives, in both metrics."""
    segmenter = segmenters["sclip"]
    chosen = {"bg": cs.background_only(), "ccd": LIKE, "more": boosted(0.03), "less": boosted(-0.03)}
    experiments = [Experiment(name, each) for name, each in chosen.items()]
    assert len({each.fingerprint for each in experiments}) == 4
    [sample] = encode_samples(segmenter, scene(1), SMALL)
    for _, together in scorer_of(segmenter, experiments).score_all([sample]):
        taken = {}
        for each in experiments:
            [(_, alone)] = scorer_of(segmenter, [each]).score_all([sample])
            own = [tally.pixels for tally in together.tallies if tally.experiment == each]
            assert len(own) == len(alone.tallies) > 0
            for found, tally in zip(own, alone.tallies, strict=True):
                assert np.abs(found - tally.pixels).max() <= 3
            [both] = [pixels for experiment, pixels in together.confusions if experiment == each]
            assert np.abs(both - alone.confusions[0][1]).max() <= 3
            taken[each.name] = sum(int(pixels[1, 1:].sum()) for pixels in own)
        assert taken["less"] < taken["bg"] < taken["more"]


def test_a_boost_is_for_a_negative_only(segmenters: dict[str, Any]) -> None:
    made = boosted(1)
    assert single_query(segmenters["maskclip"], made, "boat", ()).boosts == (0, 1)
    assert single_query(segmenters["maskclip"], made, "background", ()).boosts == (0,)


def test_random_words_are_drawn_as_before() -> None:
    drawn = cs.random_control(LIKE, WORDS, seed=3)
    assert drawn.concepts == {
        "boat": ("w10", "w5"),
        "water": ("w12", "w36", "w37"),
        "dog": ("w33",),
        "grass": ("w32", "w12"),
    }


@given(st.lists(st.integers(0, 10**6), min_size=4, max_size=60), st.integers(1, 3), st.integers(0, 5))
def test_random_words_as_frequent_as_the_concepts_they_replace(counts: list[int], size: int, seed: int) -> None:
    words = [f"w{number}" for number in range(len(counts))]
    like = cs.from_mapping("ccd", {"q": words[:size]}, background=True)
    count = dict(zip(words, counts, strict=True))
    drawn = cs.random_control(like, ["q", "background", *words], seed, counts={**count, "q": 1, "background": 9})
    assert drawn == cs.random_control(
        like, ["q", "background", *words], seed, counts={**count, "q": 1, "background": 9}
    )
    made = drawn.negatives("q")[1:]
    assert len(set(made)) == size
    assert "q" not in made
    for place, (own, found) in enumerate(zip(words, made, strict=False)):
        assert found != own

        def apart(word: str, own: str = own) -> float:
            return abs(np.log(max(count[word], 1)) - np.log(max(count[own], 1)))

        # Of the words that were left, fewer than NEAREST are nearer.
        left = [word for word in words if word not in (own, *made[:place])]
        assert sum(apart(word) < apart(found) - 1e-9 for word in left) < NEAREST


def test_too_few_words_for_frequencies_is_one_line() -> None:
    like = cs.from_mapping("ccd", {"q": ["a", "b"]})
    with pytest.raises(UserError, match="found 2 words, expected 3 or more for 'q'"):
        cs.random_control(like, ["a", "b"], counts={"a": 1, "b": 1})


@given(st.integers(0, 20), st.integers(0, 100))
def test_pseudo_words_can_be_spoken_and_mean_nothing(size: int, seed: int) -> None:
    like = cs.from_mapping("ccd", {"dog": WORDS[:size], "cat": ["sea"]}, background=True)
    [first] = cs.pseudo_control(like, [], seed).concepts["cat"]
    made = cs.pseudo_control(like, [f"big {first}"], seed)
    assert made == cs.pseudo_control(like, [f"big {first}"], seed)
    assert len(made.negatives("dog")) == len(like.negatives("dog")) == 1 + size
    assert first not in made.concepts["cat"]
    words = [word for each in made.concepts.values() for word in each]
    assert all(re.fullmatch("([^aeiou][aeiou]){3}", word) for word in words)
    # A further query leaves those of the others as they are.
    assert cs.pseudo_control(cs.from_mapping("x", {"cat": ["sea"]}), [], seed).concepts["cat"] == (first,)


def test_the_vocabulary_without_what_is_invisible_stopped_or_similar() -> None:
    tables = stage_tables()
    names, vector = (
        tables.concepts["concept"].to_list(),
        dict(zip(tables.concepts["concept"], tables.embeddings, strict=True)),
    )
    for delta in (0.05, 0.8, 0.95, 1.0):
        thresholds = Thresholds.of(SelectionSettings(delta=delta), "corpus", "drop")
        expected = {
            query: [
                name
                for name in names
                if name not in (query, "freedom", "photo") and float(vector[name] @ vector[query]) < delta
            ]
            for query in ("boat", "sky")
        }
        assert select_all(tables, thresholds, ["boat", "sky"]) == expected
    assert expected["boat"] == ["ship", "water", "sky"]


def test_settings_become_controls() -> None:
    pseudo = resolve("x", PseudoSet(kind="pseudo", like="ccd", seed=2), CLASSES, NAMES, like=LIKE, words=WORDS)
    assert pseudo.concepts == cs.pseudo_control(LIKE, WORDS, 2).concepts
    assert pseudo.background
    settings = RandomSet(kind="random", like="ccd", match="frequency")
    counts = {word: number for number, word in enumerate([*WORDS, *{w for each in CONCEPTS.values() for w in each}])}
    made = resolve("x", settings, CLASSES, NAMES, like=LIKE, words=list(counts), counts=counts)
    assert made.concepts == cs.random_control(LIKE, list(counts), counts=counts).concepts


CONTROLS: dict[str, Any] = {
    "ccd": {"kind": "dictionary"},
    "words": {"kind": "background_words"},
    "own_words": {"kind": "background_words", "path": "words.txt"},
    "boosted": {"kind": "boosted_background", "boost": 0.1},
    "empty": {"kind": "empty"},
    "pseudo": {"kind": "pseudo", "like": "ccd"},
    "vocabulary": {"kind": "vocabulary"},
    "random": {"kind": "random", "like": "ccd"},
    "frequent": {"kind": "random", "like": "ccd", "match": "frequency"},
}


def settings_of(**changes: Any) -> BenchmarkSettings:
    return BenchmarkSettings(**changed(**{"sets": CONTROLS, "sweeps": [], **changes})["benchmark"])


def test_columns_metrics_and_sweeps_of_controls() -> None:
    sweep = {"threshold": "boost", "values": [-0.1, 0.2], "set": "boosted", "dataset": "train", "segmenters": ["mask"]}
    settings = settings_of(sweeps=[sweep, {**sweep, "threshold": "delta", "values": [0.5], "set": "vocabulary"}])
    assert {name: settings.column(name) for name in CONTROLS} == {
        "ccd": "CC_D", "words": "BG words", "own_words": "own_words", "boosted": "BG + boost", "empty": "empty",
        "pseudo": "pseudo-words", "vocabulary": "vocabulary", "random": "random", "frequent": "random by frequency",
    }  # fmt: skip
    assert {name: settings.sets[name].background for name in CONTROLS if name != "empty"} == {
        name: True for name in CONTROLS if name != "empty"
    }
    assert not settings.sets["empty"].background
    assert all(settings.metrics(name) == ["IoU-single", "mIoU"] for name in CONTROLS)
    assert settings.set_names("train") == {
        "boost~-0.1/boosted": {"boost": -0.1},
        "boost~0.2/boosted": {"boost": 0.2},
        "delta~0.5/vocabulary": {"delta": 0.5},
    }
    assert {point.metric for point in settings.sweep_points()} == {"IoU-single"}


def test_a_set_that_is_not_enabled_is_not_run_nor_one_like_it(tmp_path: Path) -> None:
    off = {**CONTROLS, "ccd": {"kind": "dictionary", "enabled": False}, "own_words": {**CONTROLS["own_words"]}}
    off["own_words"]["enabled"] = False
    settings = settings_of(sets=off)
    left = ["words", "boosted", "empty", "vocabulary"]
    assert list(dict.fromkeys(cell.set for cell in settings.cells())) == left
    assert list(settings.set_names("voc")) == left
    for sets, missing in ((CONTROLS, True), (off, False)):
        run = parse_config({**changed(sets=sets, sweeps=[]), "data_dir": str(tmp_path)})
        with pytest.raises(UserError) as caught:
            check_benchmark(run, tmp_path / "classes")
        assert ("benchmark.sets.own_words.path: no file" in str(caught.value)) == missing


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"sets": {"x": {"kind": "boosted_background"}}}, "benchmark.sets.x.boost: missing"),
        (
            {"sets": {"x": {"kind": "boosted_background", "boost": 3}}},
            "benchmark.sets.x.boost: found 3, expected less than or equal to 2",
        ),
        (
            {"sets": {"x": {"kind": "boosted_background", "boost": 0.1, "background": False}}},
            "benchmark.sets.x.background: found False, expected True",
        ),
        (
            {
                "segmenters": {"gem": {"method": "gem", "backbones": ["a"], "options": {"minmax": True}}},
                "sets": {"x": {"kind": "boosted_background", "boost": 0.1}},
            },
            "benchmark.sets.x.segmenters: found 'gem', whose option minmax undoes a boost, expected the others",
        ),
        (
            {"sets": {"a": {"kind": "oracle"}, "x": {"kind": "random", "like": "a", "match": "frequency"}}},
            "benchmark.sets.x.like: found the oracle set 'a', expected a dictionary for match: frequency",
        ),
        (
            {"sets": {**CONTROLS, "x": {"kind": "pseudo", "like": "random"}}},
            "benchmark.sets.x.like: found the random set 'random'",
        ),
        (
            {"sets": {"x": {"kind": "pseudo", "like": "y"}}},
            "benchmark.sets.x.like: found 'y', expected one of x",
        ),
        (
            {"sets": CONTROLS, "sweeps": [{"threshold": "boost", "values": [0], "set": "ccd", "dataset": "voc"}]},
            "benchmark.sweeps.0.set: found 'ccd', expected a set of kind boosted_background for a sweep over boost",
        ),
        (
            {"sets": CONTROLS, "sweeps": [{"threshold": "delta", "values": [-0.1], "set": "ccd", "dataset": "voc"}]},
            "benchmark.sweeps.0.values: found -0.1, expected 0 to 1 for a sweep over delta",
        ),
        (
            {"sets": {"x": {"kind": "empty", "enabled": False}}, "listings": {"voc": "x"}},
            "benchmark.listings.voc: found 'x', which is not enabled",
        ),
    ],
)
def test_a_mistake_is_named_in_one_line(change: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_config(changed(**{"sweeps": [], **change}))
    assert any(found.startswith(f"config: {line}") for found in str(caught.value).splitlines()), str(caught.value)


@pytest.mark.slow
def test_controls_in_the_workflow(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (tmp_path / "data" / "words.txt").write_text("wall\nsky\n")
    project.config["benchmark"] = {
        "segmenters": {"mask": {"method": "maskclip", "backbones": ["toy"]}},
        "backbones": {"toy": {"model": "toyworld-clip", "pretrained": None, "training_data": "toy world"}},
        "datasets": {
            "toyworld": {"kind": "toyworld", "images": 4},
            "tuning": {"kind": "toyworld", "images": 3, "seed": 1, "tables": False},
        },
        "sets": {**CONTROLS, "off": {"kind": "oracle", "enabled": False}},
        "protocol": {"short_side": 64, "long_side": 64, "window": 64, "stride": 64},
        "sweeps": [{"threshold": "boost", "values": [-2, 0, 2], "set": "boosted", "dataset": "tuning"}],
        "draws": 20,
    }
    project.snakemake("benchmark")
    folder = tmp_path / "results" / "small" / "benchmark"
    scores = pl.read_parquet(folder / "scores.parquet")
    assert set(scores.select("set", "metric").iter_rows()) == {
        (name, metric) for name in CONTROLS for metric in ("IoU-single", "mIoU")
    }
    assert pl.read_parquet(folder / "sweeps.parquet").filter(step=2)["value"].to_list() == [0]
    assert "BG + boost" in (folder / "tables" / "table_7.md").read_text()
    assert (folder / "tables" / "table_boost.md").is_file()
    sets = load_sets(folder / "sets" / "toyworld.json")
    sizes = {name: {query: len(each) for query, each in sets[name].concepts.items()} for name in sets}
    assert sizes["ccd"] == sizes["random"] == sizes["frequent"] == sizes["pseudo"]
    # Visible, no stop word, and the query's nearest concept is left out, as is what is like it.
    assert set(sets["vocabulary"].concepts["boat"]) <= {"water", "dog", "man", "sky", "grass", "ship", "freedom"}
    assert sets["own_words"].negatives("sky") == ("background", "wall")
