"""docs/extending.md, run: its code as it stands, and its segmenter in a copy of the project, to the tables."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from PIL import Image

from contrastive_concepts.config.methods import METHODS, Method, Options
from contrastive_concepts.evaluation.datasets import LAYOUTS
from tests.conftest import ROOT
from tests.helpers import vectors
from tests.snakemake_server import snakemake
from tests.synthetic_clip import clip_model

PAGE = (ROOT / "docs" / "extending.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_runs(tmp_path: Path) -> None:
    from pydantic import Field

    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (40, 64, 3), np.uint8)).save(tmp_path / "photos/a.png")
    Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) // 16, (40, 1)) % 3).save(tmp_path / "masks/a.png")
    names: dict[str, Any] = {
        "root": tmp_path,
        "answers": tmp_path / "answers.duckdb",
        "clip_model": clip_model(layers=2, patch=8, size=64),
        "embed": vectors,
        # What the module of the entry has.
        "METHODS": METHODS,
        "Method": Method,
        "Options": Options,
        "Field": Field,
    }
    assert len(CODE) == 6
    try:
        for part in CODE:
            exec(part, names)
        [sample] = names["data"]
    finally:
        LAYOUTS.pop("rooms", None)
        METHODS.pop("plain", None)
    assert sample.labels.shape == (40, 32)
    # The left half shows walls and floors, never a window.
    assert np.isnan(names["scores"].per_class()).tolist() == [False, False, True]
    assert names["verdicts"]["visible"].to_list() == [True, False]


@pytest.mark.slow
def test_one_file_and_one_entry_are_a_method_of_the_benchmark(tmp_path: Path) -> None:
    for folder in ("workflow", "config"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", tmp_path)
    for folder in ("resources", "envs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    package = tmp_path / "workflow" / "contrastive_concepts"
    [segmenter] = [part for part in CODE if "class Plain(" in part]
    (package / "segmenters" / "plain.py").write_text(segmenter)
    [entry] = [part for part in CODE if "class PlainOptions(" in part]
    with (package / "config" / "methods.py").open("a") as file:
        file.write(f"\n\n{entry}")
    values = {
        "run": "plain",
        "captions": {"source": "toyworld", "captions": 1000, "shards": 1},
        "vocabulary": {"source": "mined"},
        "visibility": {"judge": "embedding"},
        "similarity": {"encoder": "open_clip", "model": "toyworld-clip", "pretrained": None},
        "benchmark": {
            "segmenters": {
                "plain": {"method": "plain", "backbones": ["toy"], "options": {"factor": 50}},
                "maskclip": {"method": "maskclip", "backbones": ["toy"]},
            },
            "backbones": {"toy": {"model": "toyworld-clip", "pretrained": None, "training_data": "toy world"}},
            "datasets": {"toyworld": {"kind": "toyworld", "images": 8}},
            "sets": {"background": {"kind": "background"}, "walls": {"kind": "list", "concepts": ["sky"]}},
            "protocol": {"short_side": 64, "long_side": 64, "window": 64, "stride": 64},
            "draws": 20,
        },
    }

    def benchmark(*options: str) -> tuple[int, str]:
        (tmp_path / "plain.yaml").write_text(yaml.safe_dump(values))
        options = ("benchmark", "--configfile", "plain.yaml", "--cores", "2", *options)
        return snakemake(options, tmp_path, {**os.environ, "OMP_NUM_THREADS": "1"})

    status, said = benchmark()
    assert status == 0, said[-3000:]
    results = tmp_path / "results" / "plain" / "benchmark"
    scores = pl.read_parquet(results / "scores.parquet")
    assert set(scores["method"]) == {"plain", "maskclip"}
    assert "Plain" in (results / "tables" / "table_7.csv").read_text()
    assert "Plain" in (results / "summary.md").read_text()
    # The code of a method is part of what its scores depend on.
    (package / "segmenters" / "plain.py").write_text(segmenter.replace("blocks:", "blocks[:-1]:"))
    assert "pixel_counts" in benchmark("--dry-run")[1]
    values["benchmark"]["segmenters"]["plain"]["options"] = {"faktor": 50}  # type: ignore[index]
    status, said = benchmark("--dry-run")
    assert status != 0
    line = "config: benchmark.segmenters.plain.options: option 'faktor' is unknown, expected one of precision, factor"
    assert line in said
