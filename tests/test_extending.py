"""docs/extending.md, run."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from contrastive_concepts.evaluation.datasets import LAYOUTS
from tests.conftest import ROOT
from tests.helpers import vectors
from tests.synthetic_clip import clip_model


def test_the_page_runs(tmp_path: Path) -> None:
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
    }
    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL)
    assert len(code) == 5
    try:
        for part in code:
            exec(part, names)
        [sample] = names["data"]
    finally:
        LAYOUTS.pop("rooms", None)
    assert sample.labels.shape == (40, 32)
    # The left half shows walls and floors, never a window.
    assert np.isnan(names["scores"].per_class()).tolist() == [False, False, True]
    assert names["verdicts"]["visible"].to_list() == [True, False]
