"""Several names a class: class-name files in and out, and sets that use them, against brute force."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from typer.testing import CliRunner

from contrastive_concepts import ContrastiveConcepts
from contrastive_concepts.cli.main import app
from contrastive_concepts.config.contrastive_sets import ContrastiveSetSettings
from contrastive_concepts.config.methods import METHODS
from contrastive_concepts.config.selection import BACKGROUND
from contrastive_concepts.dictionary.class_names import read_class_names, write_class_names
from contrastive_concepts.dictionary.export import export_class_names
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.classic import evaluate_classic
from contrastive_concepts.evaluation.contrastive_sets import (
    ContrastiveSet,
    load_sets,
    random_control,
    resolve,
    save_sets,
)
from contrastive_concepts.evaluation.features import encode_samples, read_features, write_features
from contrastive_concepts.evaluation.metrics import Confusion
from contrastive_concepts.evaluation.protocol import encode, label_map, similarities
from contrastive_concepts.evaluation.scoring import Experiment, Scorer, evaluate_single, experiment_texts
from contrastive_concepts.evaluation.texts import embed_once
from contrastive_concepts.segmenters import build
from contrastive_concepts.segmenters.last_block import reduce_texts
from tests.helpers import PARITY, needs_parity, release_dictionary
from tests.scenes import CLASSES, QUERIES, SMALL, scene, vectors
from tests.synthetic_clip import clip_model

LINES = "sky, wall\nboat, ship\nwater, sea\ndog\ngrass, lawn, sky\n"
"""Of the classes of `tests.scenes`; "sky" is one of the background's names and one of the grass's."""
NAMES_OF = [line.split(", ") for line in LINES.splitlines()]


@pytest.fixture(scope="module")
def model() -> Any:
    return clip_model(layers=2, patch=8, size=64)


def made(file: Path, **settings: Any) -> ContrastiveSet:
    """The set of a configuration on the classes of `tests.scenes`. Its file is both the list and the synonyms."""
    validated = TypeAdapter(ContrastiveSetSettings).validate_python(settings)
    queries = [CLASSES[label] for label in QUERIES]
    lists = {"boat": ["ship", "sky", "water"], "water": ["rock"], "dog": ["lawn"], "grass": ["dog", "sea"]}
    synonyms = file if validated.synonyms else None
    return resolve(validated.kind, validated, CLASSES, queries, lists=lists, text=file, synonyms=synonyms)


@needs_parity
@pytest.mark.parametrize(("project", "separator"), [("sclip", ", "), ("clearclip", ","), ("naclip", ", ")])
def test_files_are_read_as_the_projects_read_them(project: str, separator: Any, tmp_path: Path) -> None:
    stored = json.loads((PARITY / project / "name_file.json").read_text())
    (tmp_path / "names.txt").write_text("\n".join(stored["file_lines"]) + "\n")
    classes = read_class_names(tmp_path / "names.txt", separator)
    # Without outer spaces, which CLIP's tokenizer drops.
    assert [name for names in classes for name in names] == [name.strip() for name in stored["names"]]
    assert [number for number, names in enumerate(classes) for _ in names] == stored["query_idx"]


names = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=",;"), min_size=1)


@given(classes=st.lists(st.lists(names, min_size=1), min_size=1), separator=st.sampled_from([", ", ",", "; "]))
def test_what_is_written_is_read(classes: list[list[str]], separator: Any, tmp_path_factory: Any) -> None:
    file = tmp_path_factory.mktemp("names") / "names.txt"
    write_class_names(file, classes, separator)
    assert read_class_names(file, separator) == classes


def test_a_file_that_is_none_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    for content, message in (
        ("", "found no line"),
        ("sky, wall\n\nboat\n", "line 2: found an empty name, expected names separated by ', '"),
        ("sky, , wall\n", "line 1: found an empty name"),
        ("sky, wall,\n", "line 1: found an empty name"),
        ("sky; wall\nboat\n", "found names separated by '; ', expected ', '"),
        ("sky,wall\nboat\n", "found names separated by ',', expected ', '"),
    ):
        file.write_text(content)
        with pytest.raises(UserError, match=message):
            read_class_names(file)
    file.write_text("sky\nboat\n")
    with pytest.raises(UserError, match="found 2 lines, expected 5, one a class in label order"):
        made(file, kind="names", files={"x": "x"})
    file.write_text("sky\nboat, sea\nwater, sea\ndog\ngrass\n")
    with pytest.raises(UserError, match="found 'sea' for 'boat' and for 'water', expected it for one"):
        made(file, kind="dictionary", synonyms={"x": "x"})
    with pytest.raises(UserError, match="found the name 'a, b', expected one without ', '"):
        write_class_names(file, [["a, b"]])


def test_the_sets_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text(LINES)
    listed = made(file, kind="names", files={"x": "x"})
    assert listed.names_of("grass") == ("grass", "lawn", "sky")
    assert {listed.negatives(CLASSES[label]) for label in QUERIES} == {("sky", "wall")}
    mined = made(file, kind="dictionary", synonyms={"x": "x"})
    assert mined.names_of("boat") == ("boat", "ship")
    assert mined.negatives("boat") == (BACKGROUND, "sky", "water")
    oracle = made(file, kind="oracle", synonyms={"x": "x"})
    assert oracle.negatives("boat") == ("water", "sea", "dog", "grass", "lawn", "sky")
    shown = made(file, kind="image_oracle", synonyms={"x": "x"})
    assert shown.negatives("boat", ["boat", "water"]) == ("water", "sea")
    save_sets(tmp_path / "sets.json", {"listed": listed, "mined": mined})
    loaded = load_sets(tmp_path / "sets.json")
    assert loaded["listed"].verbatim
    assert tuple(loaded["mined"].names_of("boat")) == ("boat", "ship")


@pytest.mark.parametrize("method", ["maskclip", "sclip"])
def test_every_name_counts_for_its_class(method: str, model: Any, tmp_path: Path) -> None:
    file = tmp_path / "names.txt"
    file.write_text(LINES)
    segmenter, samples = build(method, model), scene()
    mined = made(file, kind="dictionary", synonyms={"x": "x"})
    [found] = evaluate_single(segmenter, samples, CLASSES, QUERIES, [mined], vectors, SMALL)
    intersections, unions = np.zeros(5, int), np.zeros(5, int)
    for sample in samples:
        encoded = encode(segmenter, sample.image, SMALL)
        for label in QUERIES:
            own = NAMES_OF[label]
            texts = [*own, *(text for text in mined.negatives(CLASSES[label]) if text not in own)]
            compared = similarities(segmenter, encoded, torch.from_numpy(vectors(texts)))
            mask = label_map(segmenter, encoded, compared, range(len(texts))).numpy() < len(own)
            truth, kept = sample.labels == label, sample.labels != 255
            if truth.any():
                intersections[label] += (mask & truth).sum()
                unions[label] += ((mask | truth) & kept).sum()
    assert found.intersection.sum(0).tolist() == intersections.tolist()
    assert found.union.sum(0).tolist() == unions.tolist()
    # A synonym is no contrastive concept: it takes no pixel from its class.
    assert all(not set(NAMES_OF[CLASSES.index(query)]) & set(taken) for query, taken in found.taken.items())
    assert any(found.taken.values())


@pytest.mark.parametrize("options", [{}, {"threshold": 0.35}, {"threshold": 0.3, "area": 0.4, "scale": 10}])
def test_the_lists_of_sclip_under_its_own_handling(options: dict[str, float], model: Any, tmp_path: Path) -> None:
    """Cosines of all names at pixels, reduced to classes, as the originals do it."""
    file = tmp_path / "names.txt"
    file.write_text(LINES)
    segmenter, samples = build("sclip", model, **options), scene()
    listed = made(file, kind="names", files={"x": "x"}, original=True)
    found = evaluate_classic(segmenter, samples, CLASSES, QUERIES, listed, vectors, SMALL)
    names = [name for names in NAMES_OF for name in names]
    classes = [label for label, names in enumerate(NAMES_OF) for _ in names]
    expected = Confusion(len(CLASSES))
    for sample in samples:
        encoded = encode(segmenter, sample.image, SMALL)
        # A repeated name once, because a matrix product can round equal rows differently.
        distinct = list(dict.fromkeys(names))
        pixels = at_pixels(segmenter, encoded, torch.from_numpy(vectors(distinct)))
        pixels = pixels[[distinct.index(name) for name in names]]
        _, labels = reduce_texts(pixels, classes, **{"scale": 40, **options})
        expected.add(labels.numpy(), sample.labels)
    assert np.array_equal(found.intersection, expected.intersection)
    assert np.array_equal(found.union, expected.union)
    # "sky" is a name of the background too, and a tie goes to the first class.
    [single] = evaluate_single(segmenter, samples, CLASSES, QUERIES, [listed], vectors, SMALL)
    assert single.taken["grass"]["sky"] > 0


def at_pixels(segmenter: Any, encoded: Any, texts: torch.Tensor) -> torch.Tensor:
    """Scores of the windows, enlarged, averaged and enlarged again."""
    maps = segmenter.similarities(encoded.features, texts)
    total, count = torch.zeros(len(texts), *encoded.resized), torch.zeros(encoded.resized)
    for (top, bottom, left, right), scores in zip(encoded.windows, maps, strict=True):
        size = (bottom - top, right - left)
        enlarged = torch.nn.functional.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]
        total[:, top:bottom, left:right] += enlarged
        count[top:bottom, left:right] += 1
    averaged = (total / count)[None]
    return torch.nn.functional.interpolate(averaged, encoded.original, mode="bilinear", align_corners=False)[0]


def test_a_dictionary_in_the_layout_of_the_projects(tmp_path: Path) -> None:
    folder = release_dictionary(tmp_path / "a", names=["boat", "water", "dog", "sky", "ship", BACKGROUND])
    dictionary = ContrastiveConcepts.load(folder)
    (tmp_path / "classes.txt").write_text("sky\nboat, ship\nwater\n")
    classes = read_class_names(tmp_path / "classes.txt")
    expected = {
        "replace": [dictionary.union(["boat", "ship", "water"], 0.9), *classes[1:]],
        "extend": [
            ["sky", *(n for n in dictionary.union(["boat", "ship", "water"], 0.9) if n != "sky")],
            *classes[1:],
        ],
        "add": [dictionary.union(["sky", "boat", "ship", "water"], 0.9), *classes],
    }
    assert expected["replace"][0][0] == BACKGROUND
    assert "dog" in expected["replace"][0]
    for first, lines in expected.items():
        for separator in (", ", ",", "; "):
            (tmp_path / "in.txt").write_text("".join(separator.join(line) + "\n" for line in classes))
            target = tmp_path / f"{first}{separator!r}.txt"
            export_class_names(dictionary, tmp_path / "in.txt", target, separator, first)  # type: ignore[arg-type]
            assert [line.split(separator) for line in target.read_text().splitlines()] == lines
    run = CliRunner().invoke(
        app,
        [
            "export",
            str(folder),
            "-f",
            "names",
            "--prompts",
            str(tmp_path / "classes.txt"),
            "-o",
            str(tmp_path / "x.txt"),
        ],
    )
    assert run.exit_code == 0, run.output
    assert read_class_names(tmp_path / "x.txt") == expected["replace"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--first", "last"], "--first: found 'last', expected one of 'replace', 'extend', 'add'"),
        (["--separator", "/"], "--separator: found '/', expected one of ', ', ',', '; '"),
        (["--prompts", "absent.txt"], "absent.txt: not found"),
        ([], "--prompts: missing, expected your class-name file for --format names"),
    ],
)
def test_a_wrong_export_is_one_line(options: list[str], message: str, tmp_path: Path) -> None:
    folder = release_dictionary(tmp_path / "a")
    run = CliRunner().invoke(app, ["export", str(folder), "-f", "names", "-o", str(tmp_path / "x.txt"), *options])
    assert run.exit_code != 0
    assert isinstance(run.exception, UserError)
    assert message in str(run.exception)


def test_sets_with_the_same_texts_and_other_classes(model: Any) -> None:
    """One has "lawn" as a name of the grass, the other as its negative: they share the map, not the scores."""
    segmenter, samples = build("maskclip", model), scene()
    concepts = {CLASSES[label]: ("lawn",) for label in QUERIES}
    named = ContrastiveSet("named", concepts, names={"grass": ("grass", "lawn")})
    plain = ContrastiveSet("plain", concepts)
    experiments = [Experiment(each.name, each, ("mIoU",), beta=1.0) for each in (named, plain)]
    texts = embed_once(experiment_texts(segmenter, CLASSES, QUERIES, experiments), vectors)
    both = Scorer(segmenter, CLASSES, QUERIES, experiments, texts)
    found = {each.name: np.zeros((3, len(CLASSES)), int) for each in experiments}
    for _, scores in both.score_all(encode_samples(segmenter, samples, SMALL)):
        for experiment, pixels in scores.confusions:
            found[experiment.name] += pixels
    for each in (named, plain):
        alone = evaluate_classic(segmenter, samples, CLASSES, QUERIES, each, vectors, SMALL, beta=1.0)
        assert found[each.name][0].tolist() == alone.intersection.sum(0).tolist()
    assert found["named"][0].tolist() != found["plain"][0].tolist()


def test_a_control_for_a_set_with_several_names() -> None:
    like = ContrastiveSet("ccd", {"person": ("man", "tree", "sky")}, True, names={"person": ("person", "man")})
    control = random_control(like, ["person", "man", "sea", "dog", "car"], name="random")
    assert control.names_of("person") == ("person", "man")
    assert len(control.negatives("person")) == len(like.negatives("person")) == 3
    assert not {"man", "person"} & set(control.concepts["person"])


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.scores_alone])
def test_kept_features_are_scored_without_a_clip_model(name: str, model: Any, tmp_path: Path) -> None:
    from contrastive_concepts.config.evaluation import ImageModelSettings
    from contrastive_concepts.segmenters.image_model import load_image_model

    settings = ImageModelSettings(model="vit_tiny_patch16_224", pretrained=False)
    second = {"image_model": load_image_model(settings, ".", "cpu")} if METHODS[name].image_model else {}
    refined = {"refine": True} if name == "naclip" else {}
    segmenter, alone = build(name, model, **second, **refined), build(name, None, **refined)
    texts = torch.from_numpy(vectors(["boat", "sea", "sky"]))
    samples = list(encode_samples(segmenter, scene(2), SMALL))
    write_features(tmp_path / "kept.safetensors", samples, segmenter.scored_extra)
    for fresh, kept in zip(samples, read_features(tmp_path / "kept.safetensors"), strict=True):
        first, second_ = (
            label_map(each, sample.encoded, similarities(each, sample.encoded, texts), range(3))
            for each, sample in ((segmenter, fresh), (alone, kept))
        )
        assert (first == second_).float().mean() > 0.999


def test_a_class_without_texts_and_small_classes() -> None:
    cosines = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(0))
    scores, labels = reduce_texts(cosines, [1, 3], 40)
    assert scores.shape == (4, 4, 5)
    assert (scores[[0, 2]] == 0).all()
    assert set(labels.unique().tolist()) <= {1, 3}
    # All classes are small: every pixel is background.
    small = build("sclip", None, area=1.0).finish(cosines, True, [1, 2])
    assert (small.argmax(dim=0) == 0).all()
