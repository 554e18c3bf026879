"""Of each query's list only the concepts nearest to the image: chosen by hand, then scored as a set like any other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrastive_concepts.config.contrastive_sets import DictionarySet
from contrastive_concepts.config.load import parse_config
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation import contrastive_sets as cs
from contrastive_concepts.evaluation.classic import evaluate_classic
from contrastive_concepts.evaluation.contrastive_sets import load_sets, resolve, save_sets
from contrastive_concepts.evaluation.features import encode_samples
from contrastive_concepts.evaluation.protocol import EncodedImage, encode
from contrastive_concepts.evaluation.scoring import Experiment, evaluate_single
from contrastive_concepts.report.set_sizes import mean_size
from contrastive_concepts.segmentation.concept_segmenter import ConceptSegmenter
from contrastive_concepts.segmenters import build
from contrastive_concepts.toyworld.corpus import HELD_OUT
from contrastive_concepts.toyworld.render import draw_image
from tests.scenes import CLASSES, QUERIES, SMALL, scene, scorer_of, vectors
from tests.synthetic_clip import masker
from tests.test_benchmark_config import changed

NAMES = [CLASSES[label] for label in QUERIES]
WORDS = ("sky", "rock", "wall", "tree", "cloud", "sand")
LISTS = {name: [*WORDS[place:], *WORDS[:place], "grass"] for place, name in enumerate(NAMES)}
WHOLE = cs.from_mapping("ccd", LISTS, background=True)


def nearest(count: int) -> cs.ContrastiveSet:
    settings = DictionarySet(kind="dictionary", nearest_to_image=count)
    return resolve("nearest", settings, CLASSES, NAMES, lists=LISTS)


@pytest.fixture(scope="module")
def segmenters(small_clip: Any) -> dict[str, Any]:
    return {
        "maskclip": build("maskclip", small_clip),
        "gem": build("gem", small_clip),
        "sclip": build("sclip", small_clip),
        "tcl": build("tcl", small_clip, checkpoint=masker(layers=2), refine=True),
        "refined": build("naclip", small_clip, refine=True),
    }


def lists_by_hand(
    segmenter: Any, encoded: EncodedImage, lists: Mapping[str, Sequence[str]], count: int
) -> dict[str, list[str]]:
    """Each list's nearest concepts, in the list's order; all patches of all windows as one matrix."""
    chosen = {}
    for query, listed in lists.items():
        texts = [text for text in listed if text not in (query, "background")]
        maps = segmenter.similarities(encoded.features, vectors_of(texts)).numpy()
        patches = np.concatenate([window.reshape(len(texts), -1) for window in maps], axis=1)
        near = np.sort(patches, axis=1)[:, ::-1][:, : max(patches.shape[1] // 16, 1)].mean(axis=1)
        kept = sorted(np.argsort(-near, kind="stable")[:count])
        chosen[query] = [texts[place] for place in kept]
    return chosen


def vectors_of(texts: Sequence[str]) -> Any:
    import torch

    return torch.from_numpy(vectors(texts))


@pytest.mark.parametrize("name", ["maskclip", "gem", "sclip", "tcl", "refined"])
def test_an_image_is_scored_with_its_own_lists(segmenters: dict[str, Any], name: str) -> None:
    segmenter, different = segmenters[name], set()
    for sample in scene():
        by_hand = lists_by_hand(segmenter, encode(segmenter, sample.image, SMALL), LISTS, 2)
        different.add(str(by_hand))
        own = cs.from_mapping("own", by_hand, background=True)
        found, expected = evaluate_single(segmenter, [sample], CLASSES, QUERIES, [nearest(2), own], vectors, SMALL)
        assert np.array_equal(found.intersection, expected.intersection)
        assert np.array_equal(found.union, expected.union)
        assert found.taken == expected.taken
        both, alone = (
            evaluate_classic(segmenter, [sample], CLASSES, QUERIES, each, vectors, SMALL) for each in (nearest(2), own)
        )
        assert np.array_equal(both.intersection, alone.intersection)
    assert len(different) > 1  # the images do not all have the same lists


def test_it_is_scored_beside_other_sets(segmenters: dict[str, Any]) -> None:
    """One pass with all sets gives what a pass for each gives, in both metrics."""
    segmenter = segmenters["maskclip"]
    chosen = {"ccd": WHOLE, "two": nearest(2), "all": nearest(99)}
    experiments = [Experiment(name, each) for name, each in chosen.items()]
    assert len({each.fingerprint for each in experiments}) == 3
    for sample in encode_samples(segmenter, scene(2), SMALL):
        [(_, together)] = scorer_of(segmenter, experiments).score_all([sample])
        confusions = {each.name: pixels for each, pixels in together.confusions}
        tallies = {name: [t for t in together.tallies if t.experiment.name == name] for name in chosen}
        for each in experiments:
            [(_, alone)] = scorer_of(segmenter, [each]).score_all([sample])
            assert np.array_equal(confusions[each.name], alone.confusions[0][1])
            assert [(t.query, t.asked.texts) for t in tallies[each.name]] == [
                (t.query, t.asked.texts) for t in alone.tallies
            ]
        assert {len(tally.asked.texts) for tally in tallies["two"]} == {4}  # the query, "background", two of its list
        assert np.array_equal(confusions["all"], confusions["ccd"])
        assert [t.asked for t in tallies["all"]] == [t.asked for t in tallies["ccd"]]


@given(
    st.lists(st.sampled_from(["background", "q", *WORDS]), max_size=9),
    st.integers(1, 9),
    st.booleans(),
    st.lists(st.integers(-3, 3), min_size=8, max_size=8),
)
def test_the_nearest_stay_in_their_order(listed: list[str], count: int, background: bool, near: list[int]) -> None:
    whole = cs.from_mapping("x", {"q": listed, "other": ["sky"]}, background)
    chosen = cs.ContrastiveSet("x", whole.concepts, background, nearest=count)
    nearness = dict(zip(["background", "q", *WORDS], near, strict=True))
    found = chosen.of_image(nearness, ["q"]).negatives("q")
    every = whole.negatives("q")
    assert ("background" in found) == ("background" in every)
    assert [text for text in every if text in found] == list(found)
    kept, dropped = ([t for t in every if (t in found) == inside and t != "background"] for inside in (True, False))
    assert len(kept) == min(count, len(kept) + len(dropped))
    assert not dropped or min(nearness[text] for text in kept) >= max(nearness[text] for text in dropped)
    assert chosen.size("q") == len(found)
    with pytest.raises(UserError, match="'other' is missing"):
        chosen.of_image(nearness, ["q"]).negatives("other")


def test_it_is_kept_in_files_and_counted(tmp_path: Path) -> None:
    made = nearest(3)
    save_sets(tmp_path / "sets.json", {"x": made, "ccd": WHOLE})
    read = load_sets(tmp_path / "sets.json")
    assert (read["x"].nearest, read["ccd"].nearest) == (3, None)
    assert mean_size(made, NAMES) == 4
    assert mean_size(WHOLE, NAMES) == sum(len(WHOLE.negatives(name)) for name in NAMES) / len(NAMES)


def test_settings() -> None:
    chosen = DictionarySet(kind="dictionary", nearest_to_image=3)
    assert chosen.default_column is None
    assert not chosen.selects  # the lists are the dictionary's own
    assert DictionarySet(kind="dictionary").default_column == "CC_D"
    near = {"kind": "dictionary", "nearest_to_image": 3}
    parse_config(changed(sweeps=[], sets={"x": {**near, "folder": "dictionary"}}))
    for sets, line in (
        ({"x": {**near, "nearest_to_image": 0}}, "benchmark.sets.x.nearest_to_image: found 0, expected"),
        (
            {"x": near, "y": {"kind": "random", "like": "x"}},
            "benchmark.sets.y.like: found 'x' with nearest_to_image, expected a set whose lists are the same for all",
        ),
    ):
        with pytest.raises(UserError, match=line):
            parse_config(changed(sweeps=[], sets=sets))


def test_segmenting_a_photo() -> None:
    pixels, _ = draw_image(0, HELD_OUT + 3)
    whole, three = ConceptSegmenter(), ConceptSegmenter(nearest_to_image=3)
    assert whole.described != three.described
    photo = whole.encode(pixels)
    for query in ("boat", "road"):
        listed = whole(photo, query).texts[2:]
        with_vectors = {text: whole._vectors([text])[0] for text in listed}
        dense = photo.encoded.features.dense[0].flatten(1)
        cosines = {text: (dense / dense.norm(dim=0)).T @ vector for text, vector in with_vectors.items()}
        near = {text: float(each.sort(descending=True).values[: len(each) // 16].mean()) for text, each in cosines.items()}  # fmt: skip
        best = sorted(listed, key=lambda text: -near[text])[:3]
        found = three(pixels, query)
        assert found.texts == (query, "background", *(text for text in listed if text in best))
        own = [text for text in found.texts if text != query]
        assert np.array_equal(found.labels, whole(photo, query, negatives=own).labels)
    several = three(pixels, ["boat", "road"])
    assert 2 < len(several.texts) <= 2 + 1 + 2 * 3
    with pytest.raises(UserError, match="nearest_to_image: found 0, expected 1 or more"):
        ConceptSegmenter(nearest_to_image=0)
