"""`benchmarks/gpu.py` on a CPU: the label maps that it compares, and the study's time by hand."""

import pytest

from benchmarks import gpu
from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.evaluation.features import crop_sample

IMAGES = 1449 + 500 * 3 / 2 + 5000 + 2000 + 5000 + 5104
"""Of the six data sets, in images of two windows."""


def test_the_studys_time_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "PRECISIONS", ("float32",))
    speeds = [gpu.Speed(method, "m", "float32", 1.0, 1.0, 0.0) for method in gpu.METHODS]
    # MaskCLIP with three CLIPs, the others with one; of 100 training images each, four passes and five.
    hours = (6 * IMAGES + 9 * 100) / 3600
    assert f"(45 passes): {hours:.1f} h in float32" in gpu.study(speeds, "m", {"float32": 1.0})
    # A second more for each image, whatever its windows, for what is neither encoding nor scoring.
    hours += (6 * (IMAGES - 250) + 9 * 100) / 3600
    assert f"{hours:.1f} h in float32" in gpu.study(speeds, "m", {"float32": 0.5})


def test_scoring_takes_time_by_the_number_of_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "PRECISIONS", ("float32",))
    speeds = [gpu.Speed(method, "m", "float32", 0.0, 4.0, 0.0) for method in gpu.METHODS]
    said = gpu.study(speeds, "m", {"float32": 0.25})
    assert float(said.split("passes): ")[1].split(" h")[0]) > 6 * IMAGES / 3600


@pytest.mark.slow
@pytest.mark.parametrize("method", ["maskclip", "clip_dinoiser"])
def test_label_maps_of_many_sets_at_once_agree_on_a_whole_image(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "PRECISIONS", ("float32",))
    sample = next(gpu.generated(1))
    [share] = gpu.agreement(method, "ViT-S-16", [crop_sample(sample, Protocol())], "cpu")
    assert 0.999 < share <= 1
