"""docs/using.md, run: its code as it stands, in order, where the models and files that it names are."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contrastive_concepts.resources import resource
from tests.conftest import ROOT
from tests.tiny_detectors import save_grounding_dino, save_owl_vit

PAGE = (ROOT / "docs" / "using.md").read_text(encoding="utf-8")
FIRST, *OTHERS = PAGE.split("\n## ")
SECTIONS = {part.partition("\n")[0]: part for part in OTHERS}


def blocks(text: str, language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the page's code runs: models lie where their names point as paths."""
    (tmp_path / "DICTIONARY").symlink_to(resource("dictionaries/toyworld"))
    street = ROOT / "docs" / "images" / "segment" / "street.png"
    (tmp_path / "photos").mkdir()
    for file in ("street.png", "photos/street.png"):
        (tmp_path / file).symlink_to(street)
    save_owl_vit(tmp_path / "google" / "owlvit-base-patch32")
    words = ["bus", "street", "road", "city", "white", "background", "sky"]
    save_grounding_dino(tmp_path / "IDEA-Research" / "grounding-dino-tiny", words)
    (tmp_path / "classes.txt").write_text("bus\nboat\n")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "street.txt").write_text("0 .5 .5 .2 .2 .4\n5 .5 .5 .2 .2 .6\n1 .1 .1 .2 .2 .3\n")
    rows = [(1, 0.4, [0, 0, 9, 9]), (4, 0.6, [0, 0, 9, 9]), (2, 0.6, [0, 0, 9, 9])]
    results = [{"image_id": 1, "category_id": c, "score": s, "bbox": box} for c, s, box in rows]
    (tmp_path / "results.json").write_text(json.dumps(results))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def names(place: Path) -> dict[str, Any]:
    """What the page's first block leaves."""
    found: dict[str, Any] = {}
    [code] = blocks(FIRST)
    exec(code, found)
    [comment] = re.findall(r"texts  # (.*)", code)
    assert repr(found["prompts"].texts) == comment
    return found


def test_every_section_is_run() -> None:
    assert [*SECTIONS] == ["transformers", "supervision", "FiftyOne", "COCO and YOLO", "autodistill"]
    assert not blocks(SECTIONS["autodistill"])


def test_transformers(names: dict[str, Any]) -> None:
    pipelines, captions = blocks(SECTIONS["transformers"])
    for code in (pipelines, captions):
        names.pop("buses", None)
        exec(code, names)
        assert {row["label"] for row in names["buses"]} == {"bus"}


def test_supervision(names: dict[str, Any]) -> None:
    pytest.importorskip("supervision")
    exec(blocks(SECTIONS["transformers"])[0], names)
    detections, segments = blocks(SECTIONS["supervision"])
    exec(detections, names)
    own = int((names["detections"].class_id == 0).sum())
    assert len(names["buses"]) + len(names["taken"]) == own < len(names["detections"])
    assert set(names["taken"]["taken_by"]) <= set(names["prompts"].negatives)
    assert names["drawn"].size == names["image"].size
    exec(segments, names)
    assert (names["segments"].mask[0] == names["found"].mask_of("bus")).all()
    assert (names["segments"].mask[1] == names["found"].mask_of("road")).all()
    assert names["segments"].mask.any(axis=(1, 2)).all()


def test_fiftyone(names: dict[str, Any]) -> None:
    fo = pytest.importorskip("fiftyone")
    [code] = blocks(SECTIONS["FiftyOne"])
    try:
        exec(code, names)
        counted = names["dataset"].count_values("found.detections.label")
        kept, taken = (names[name].count("found.detections") for name in ("kept", "taken"))
        assert kept + taken == counted["bus"] < sum(counted.values())
    finally:
        if isinstance(names.get("dataset"), fo.Dataset):
            names["dataset"].delete()


def test_coco_and_yolo(names: dict[str, Any], place: Path) -> None:
    section = SECTIONS["COCO and YOLO"]
    for line in "".join(blocks(section, "sh")).splitlines():
        program, *arguments = shlex.split(line)
        assert program == "contrastive-concepts"
        environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
        command = [sys.executable, "-m", "contrastive_concepts", *arguments]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    [code] = blocks(section)
    exec(code, names)
    assert [row["category_id"] for row in json.loads((place / "kept.json").read_text())] == [2]
    assert (place / "kept" / "street.txt").read_text() == "1 .1 .1 .2 .2 .3\n"
