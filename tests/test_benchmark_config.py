"""Which cells a benchmark has, what a mistake in it says, and what is checked before any job runs."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

from contrastive_concepts.config.benchmark import BenchmarkSettings, Cell
from contrastive_concepts.config.evaluation import WHOLE, Protocol, SegmenterSettings
from contrastive_concepts.config.load import parse_config
from contrastive_concepts.config.methods import METHODS
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.inputs import check_benchmark
from tests.helpers import VALID

BENCHMARK: dict[str, Any] = {
    "segmenters": {
        "mask": {"method": "maskclip", "backbones": ["a", "b"]},
        "tcl": {"method": "tcl", "backbones": ["a"], "checkpoint": "tcl.pth"},
    },
    "backbones": {"a": {"training_data": "A"}, "b": {"training_data": "B", "pretrained": "weights/b.pt"}},
    "datasets": {
        "voc": {"kind": "voc21", "root": "VOC2012"},
        "train": {"kind": "ade20k", "root": "ade", "split": "training", "images": 100, "tables": False},
    },
    "sets": {
        "ccd": {"kind": "dictionary"},
        "ccd_own": {"kind": "dictionary", "original": True},
        "own": {"kind": "none", "original": True},
        "ccl": {"kind": "cc_text", "files": {"voc": "cc.txt"}},
        "random_ccl": {"kind": "random", "like": "ccl"},
        "all": {"kind": "oracle"},
    },
    "sweeps": [
        {"threshold": "gamma", "values": [0.01, 0.02], "set": "ccd", "dataset": "train", "segmenters": ["mask"]},
        {"threshold": "beta", "values": [1.0], "set": "ccl", "dataset": "voc"},
    ],
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**VALID, "benchmark": {**BENCHMARK, **changes}}


def segmenter(**settings: Any) -> dict[str, Any]:
    """A benchmark of one segmenter."""
    datasets = {**BENCHMARK["datasets"], "drawn": {"kind": "voc", "root": "drawn", "classes": "classes.txt"}}
    return {"segmenters": {"mask": {"backbones": ["a"], **settings}}, "datasets": datasets, "sweeps": []}


def test_the_cells_that_exist() -> None:
    settings = BenchmarkSettings(**BENCHMARK)
    cells = list(settings.cells())
    assert {cell.dataset for cell in cells} == {"voc"}
    assert [cell.set for cell in cells if cell[:2] == ("mask", "b")] == ["ccd", "ccl", "random_ccl", "all"]
    assert [cell.set for cell in cells if cell.segmenter == "tcl"] == list(BENCHMARK["sets"])
    assert cells[0] == Cell("mask", "a", "voc", "ccd")
    assert cells[0].experiment == "ccd"


def test_a_file_of_names_needs_a_background_class_for_single_queries() -> None:
    sets = {"names": {"kind": "names", "original": True, "files": {"voc": "a.txt", "ade": "b.txt"}}}
    data = {"voc": {"kind": "voc21", "root": "v"}, "ade": {"kind": "ade20k", "root": "a"}}
    settings = BenchmarkSettings(
        **{
            **BENCHMARK,
            "segmenters": {"s": {"method": "sclip", "backbones": ["a"]}},
            "sets": sets,
            "datasets": data,
            "sweeps": [],
        }
    )
    assert settings.metrics("names", "s", "voc") == ["IoU-single", "mIoU"]
    assert settings.metrics("names", "s", "ade") == ["mIoU"]
    assert settings.left_out() == [
        "benchmark: names on ade: no IoU-single, the data set has no background class to name"
    ]


def test_a_set_for_some_segmenters() -> None:
    sets = {**BENCHMARK["sets"], "ccd": {"kind": "dictionary", "segmenters": ["tcl"]}}
    settings = BenchmarkSettings(**{**BENCHMARK, "sets": sets, "sweeps": []})
    assert {cell.segmenter for cell in settings.cells() if cell.set == "ccd"} == {"tcl"}
    assert {cell.segmenter for cell in settings.cells()} == {"mask", "tcl"}


def test_a_segmenter_that_is_not_enabled_is_not_run() -> None:
    off = {**BENCHMARK["segmenters"], "tcl": {**BENCHMARK["segmenters"]["tcl"], "enabled": False}}
    figures = {"examples": {"sets": ["ccd"]}}
    settings = BenchmarkSettings(**{**BENCHMARK, "segmenters": off, "figures": figures})
    used = [*settings.cells(), *settings.pictures(), *(point.cell for point in settings.sweep_points())]
    assert {each.segmenter for each in used} == {"mask"}


def test_the_points_of_sweeps() -> None:
    points = list(BenchmarkSettings(**BENCHMARK).sweep_points())
    assert [(p.threshold, p.value, p.segmenter, p.backbone, p.dataset) for p in points] == [
        ("gamma", 0.01, "mask", "a", "train"),
        ("gamma", 0.02, "mask", "a", "train"),
        ("gamma", 0.01, "mask", "b", "train"),
        ("gamma", 0.02, "mask", "b", "train"),
        ("beta", 1.0, "mask", "a", "voc"),
        ("beta", 1.0, "mask", "b", "voc"),
        ("beta", 1.0, "tcl", "a", "voc"),
    ]
    assert [p.metric for p in points] == ["IoU-single"] * 4 + ["mIoU"] * 3


def test_the_experiments_and_sets_of_a_data_set() -> None:
    settings = BenchmarkSettings(**BENCHMARK)
    # gamma makes another set, beta another union of the same set.
    assert settings.set_names("train") == {"gamma~0.01/ccd": {"gamma": 0.01}, "gamma~0.02/ccd": {"gamma": 0.02}}
    assert settings.set_names("voc") == {key: {} for key in BENCHMARK["sets"]}
    assert settings.experiments("mask", "a", "train") == [
        ("gamma~0.01/ccd", "gamma~0.01/ccd", ["IoU-single"], None),
        ("gamma~0.02/ccd", "gamma~0.02/ccd", ["IoU-single"], None),
    ]
    [*sets, sweep] = settings.experiments("mask", "b", "voc")
    assert sets[0] == ("ccd", "ccd", ["IoU-single", "mIoU"], None)
    assert [name for name, *_ in sets] == ["ccd", "ccl", "random_ccl", "all"]
    assert (sweep[0].split("/")[0], sweep[2:]) == ("beta~1.0", (["mIoU"], 1.0))
    assert settings.experiments("mask", "c", "voc") == []


def test_columns_and_metrics() -> None:
    more: dict[str, Any] = {
        "none": {"kind": "none"},
        "bg": {"kind": "background"},
        "raw": {"kind": "dictionary", "filters": []},
        "seen": {"kind": "dictionary", "filters": ["visible", "stop_list"]},
        "odd": {"kind": "dictionary", "filters": ["visible"]},
        "alone": {"kind": "dictionary", "background": False},
        "ccl_alone": {"kind": "cc_text", "files": {"voc": "cc.txt"}, "background": False},
        "low": {"kind": "dictionary", "gamma": 0.001},
        "named": {"kind": "list", "concepts": ["wall"], "column": "walls"},
    }
    settings = BenchmarkSettings(**{**BENCHMARK, "sets": {**BENCHMARK["sets"], **more}})
    expected = {
        "ccd": "CC_D", "ccd_own": "CC_D", "own": "original", "ccl": "CC_L", "random_ccl": "random", "all": "oracle",
        "none": "none", "bg": "BG", "raw": "no filtering", "seen": "+ visible", "odd": "odd", "alone": "CC_D only",
        "ccl_alone": "CC_L only", "low": "low", "named": "walls",
    }  # fmt: skip
    assert {name: settings.column(name) for name in settings.sets} == expected
    gem = BenchmarkSettings(
        **BENCHMARK
        | {
            "segmenters": {"gem": {"method": "gem", "backbones": ["a"]}, "tcl": BENCHMARK["segmenters"]["tcl"]},
            "figures": {"alone": {"sets": ["own", "ccd_own"]}, "own": {"sets": ["own"]}},
            "sweeps": [],
        }
    )
    # GEM's own background needs a second text: the paper leaves these cells empty.
    assert gem.metrics("own", "gem") == ["mIoU"]
    assert gem.metrics("own", "tcl") == gem.metrics("ccd_own", "gem") == ["IoU-single", "mIoU"]
    assert gem.shown_sets("alone", "gem", "voc") == ["ccd_own"]
    assert [picture[:2] for picture in gem.pictures()] == [("alone", "gem"), ("alone", "tcl"), ("own", "tcl")]
    assert gem.left_out() == ["benchmark: gem with own: no IoU-single, its own background handling needs a second text"]
    assert settings.left_out() == []
    assert settings.metrics("all") == ["IoU-single"]
    assert settings.metrics("ccd") == ["IoU-single", "mIoU"]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_a_class_that_takes_its_options(name: str) -> None:
    method = METHODS[name]
    module, _, kind = method.place.rpartition(".")
    made = getattr(importlib.import_module(f"contrastive_concepts.segmenters.{module}"), kind)
    parameters = inspect.signature(made).parameters
    objects = {"checkpoint": method.heads, "image_model": method.image_model}
    given = {*method.options.model_fields, *method.fixed, *(key for key, needed in objects.items() if needed)}
    given -= {"precision"}
    assert given <= {*parameters}
    required = {key for key, parameter in parameters.items() if parameter.default is parameter.empty}
    assert required - {"clip_model"} <= given


def test_the_protocol_and_options_of_the_authors() -> None:
    own = SegmenterSettings(method="sclip", backbones=["a"], protocol="original", options={"area": 0.3})
    assert own.protocol_for("voc21", Protocol()) == Protocol(short_side=336, window=224, stride=112)
    assert own.options_for("voc21") == {"scale": 65, "threshold": 0.1, "area": 0.3}
    assert own.protocol_for("toyworld", Protocol(window=64)) == Protocol(window=64)
    assert own.options_for("toyworld") == {"area": 0.3}
    shared = own.model_copy(update={"method": "naclip", "protocol": "benchmark", "options": {"scale": None}})
    assert shared.protocol_for("voc21", Protocol()) == Protocol()
    assert shared.options_for("voc21") == {"scale": 40, "threshold": 0.1}
    alone = shared.model_copy(update={"protocol": "original"})
    assert alone.options_for("ade20k") == {"scale": 40, "threshold": 0, "refine": True}
    assert alone.protocol_for("voc21", Protocol(short_side=99)).window == WHOLE
    mask = SegmenterSettings(method="maskclip", backbones=["a"])
    assert (mask.protocol_for("voc21", Protocol()), mask.options_for("voc21")) == (Protocol(), {})


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"sets": {"x": {"kind": "dictionary", "filter": []}}, "sweeps": []},
            "benchmark.sets.x.filter: unknown key, did you mean filters?",
        ),
        ({"protocol": {"windows": 3}}, "benchmark.protocol.windows: unknown key, did you mean window?"),
        ({"sweps": []}, "benchmark.sweps: unknown key, did you mean sweeps?"),
        ({"sets": {"x": {"kind": "random", "like": "y"}}, "sweeps": []}, "benchmark.sets.x.like: found 'y', expected"),
        ({"backbones": {"c": {"training_data": "C"}}}, "benchmark.segmenters.mask.backbones: found 'a', expected"),
        (
            {"sweeps": [{"threshold": "delta", "values": [0.1], "set": "ccl", "dataset": "voc"}]},
            "benchmark.sweeps.0.set: found 'ccl', expected a set of this run's dictionary",
        ),
        (
            {"sets": {"x": {"kind": "dictionary", "folder": "d", "gamma": 0.1}}, "sweeps": []},
            "benchmark.sets.x: found a selection beside folder, expected the folder alone",
        ),
        ({"datasets": {"x": {"kind": "voc21"}}}, "benchmark.datasets.x.root: missing"),
        (
            {"segmenters": {"mask": {"method": "mask", "backbones": ["a"]}}, "sweeps": []},
            "benchmark.segmenters.mask.method: found 'mask', expected 'maskclip', 'clip_dinoiser', 'tcl', 'gem', 'sclip'",
        ),
        (
            segmenter(method="gem", options={"dept": 3, "depth": 1}),
            "benchmark.segmenters.mask.options: option 'dept' is unknown, expected one of precision, depth",
        ),
        (
            segmenter(method="gem", options={"dept": 3, "depth": 1}),
            "benchmark.segmenters.mask.options: depth: found 1, expected greater than or equal to 2",
        ),
        (
            segmenter(method="sclip", options={"precision": "int8"}),
            "benchmark.segmenters.mask.options: precision: found 'int8', expected one of float32, bfloat16, float16",
        ),
        (
            segmenter(method="proxyclip"),
            "benchmark.segmenters.mask.image_model: found none, expected a second image model for proxyclip",
        ),
        (
            segmenter(method="gem", image_model={"model": "vit_tiny_patch16_224"}),
            "benchmark.segmenters.mask.image_model: found one, expected none for gem",
        ),
        (
            segmenter(method="gem", checkpoint="last.pt"),
            "benchmark.segmenters.mask.checkpoint: found 'last.pt', expected none for gem",
        ),
        (
            segmenter(method="gem", protocol="original"),
            "benchmark.segmenters.mask.protocol: found 'original' for gem, expected benchmark; the authors' is known for "
            "sclip, clearclip, naclip",
        ),
        (
            segmenter(method="sclip", protocol="original"),
            "benchmark.segmenters.mask.protocol: found 'original' with the data set drawn of kind voc, expected one of "
            "voc21",
        ),
        (
            segmenter(method="sclip", options={"scale": True}),
            "benchmark.segmenters.mask.options: scale: found True, expected a number or a word",
        ),
        (
            segmenter(method="sclip", options={"scale": float("inf")}),
            "benchmark.segmenters.mask.options: scale: found inf, expected a finite number",
        ),
        (
            {"sets": {"x": {"kind": "none", "synonyms": {"v": "n.txt"}}}, "sweeps": []},
            "benchmark.sets.x.synonyms: found 'v', expected one of voc, train",
        ),
        (
            {"sets": {"x": {"kind": "none", "segmenters": ["gem"]}}, "sweeps": []},
            "benchmark.sets.x.segmenters: found 'gem', expected one of mask, tcl",
        ),
        (
            {"sets": {"x": {"kind": "names", "files": {"v": "n.txt"}}}, "sweeps": []},
            "benchmark.sets.x.files: found 'v', expected one of voc, train",
        ),
        (
            {"sets": {"x": {"kind": "names", "files": {"voc": "n.txt"}, "separator": "/"}}, "sweeps": []},
            "benchmark.sets.x.separator: found '/', expected ', ', ',' or '; '",
        ),
        ({"sets": {"x/y": {"kind": "none"}}, "sweeps": []}, "benchmark.sets.x/y"),
        (
            {"absent": {"kinds": ["random", "hard"]}},
            "benchmark.absent.kinds.1: found 'hard', expected 'random', 'seen_together' or 'similar'",
        ),
        (
            {"absent": {"kinds": ["random", "random"]}},
            "benchmark.absent.kinds: found 'random' twice, expected each kind once",
        ),
        ({"absent": {"kinds": []}}, "benchmark.absent.kinds: found [], expected"),
        ({"absent": {"min_area": 1}}, "benchmark.absent.min_area: found 1, expected less than 1"),
        ({"absent": {"seed": -1}}, "benchmark.absent.seed: found -1, expected greater than or equal to 0"),
        ({"absent": {"minarea": 0.1}}, "benchmark.absent.minarea: unknown key, did you mean min_area?"),
        ({"absent": True}, "benchmark.absent: found True, expected"),
    ],
)
def test_a_mistake_is_named_in_one_line(change: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_config(changed(**change))
    assert any(found.startswith(f"config: {line}") for found in str(caught.value).splitlines()), str(caught.value)


def test_what_is_missing_is_said_before_any_job(tmp_path: Path) -> None:
    settings = parse_config({**changed(), "data_dir": str(tmp_path)})
    (tmp_path / "ade").mkdir()
    with pytest.raises(UserError) as caught:
        check_benchmark(settings, tmp_path / "classes")
    keys = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert keys == [
        "benchmark.datasets.voc.root",
        "benchmark.datasets.voc.classes",
        "benchmark.datasets.train.classes",
        "benchmark.segmenters.tcl.checkpoint",
        "benchmark.backbones.b.pretrained",
        "benchmark.sets.ccl.files.voc",
    ]
    assert "no folder" in str(caught.value).splitlines()[0]
