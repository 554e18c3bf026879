"""What several tests share: the real data, where it is there, and a small encoder whose vectors a person can follow."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# The machines are shared and noisy: how long an example takes says nothing.
settings.register_profile("shared", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def captions_dir() -> Path:
    folder = DATA / "captions"
    if not folder.is_dir():
        pytest.skip("real captions (../shared/data/captions) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def lists_dir() -> Path:
    folder = DATA / "lists"
    if not folder.is_dir():
        pytest.skip("concept lists (../shared/data/lists) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    from tests.helpers import chromium

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield opened
        opened.close()


class PlaneEncoder:
    """Each known prompt has an angle in degrees and lies there on a circle, at a distance that must not matter."""

    name = "plane"
    dimension = 2
    weights_sha256 = "0" * 64

    def __init__(self, angles: dict[str, float]) -> None:
        self.angles = angles
        self.encoded: list[str] = []

    def encode(self, prompts: Sequence[str]) -> np.ndarray:
        self.encoded += prompts
        radians = np.radians([self.angles[prompt] for prompt in prompts])
        return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32) * 3


@pytest.fixture
def plane_encoder() -> type[PlaneEncoder]:
    return PlaneEncoder


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """The Python of a vLLM for processors, built where it is not there yet."""
    built = subprocess.run([sys.executable, ROOT / "envs" / "vllm_cpu.py"], capture_output=True, text=True)
    if built.returncode:
        pytest.skip(built.stderr.strip().splitlines()[-1])
    return Path(built.stdout.strip())


MOST_FAST, MOST_SLOW = 4, 2
"""Processes that a laptop has the memory for: one of fast tests takes one or two gigabytes, of slow ones up to three."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The whole suites of fast and of slow tests run in several processes, each file in one of them.

    A file or test that is named runs in this process. So does any other choice of marks: those tests kill runs or start
    servers.
    """
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return 0
    most = {"slow": MOST_SLOW} | dict.fromkeys(config.getini("addopts"), MOST_FAST)
    workers = min(len(os.sched_getaffinity(0)), most.get(config.option.markexpr, 0))
    return workers if workers > 1 else 0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reliability", type=Path, help="page whose table of injected faults is written anew")


@pytest.fixture(scope="session")
def fault(request: pytest.FixtureRequest) -> Iterator[Callable[[str, int, str], None]]:
    """Note a fault that was injected: what, how often, and the outcome that was asserted."""
    rows: list[str] = []
    yield lambda what, times, outcome: rows.append(f"| {what} | {times} | {outcome} |")
    page: Path | None = request.config.getoption("--reliability")
    if page is not None:
        before = page.read_text().partition("| fault |")[0]
        page.write_text(before + "\n".join(["| fault | injected | outcome |", "| --- | --- | --- |", *rows, ""]))


@pytest.fixture(scope="session")
def toy() -> Any:
    """The toy CLIP's text tower in its own library."""
    from contrastive_concepts.config.similarity import OpenClipModel
    from contrastive_concepts.encoders.text import load_encoder

    return load_encoder(OpenClipModel(encoder="open_clip", model="toyworld-clip", pretrained=None, device="cpu"))


@pytest.fixture(scope="session")
def toy_export(toy: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of its export, and how it cleans a text."""
    from contrastive_concepts.encoders.carry import carry

    folder = tmp_path_factory.mktemp("export")
    return folder, carry(toy, folder)


@pytest.fixture(scope="session")
def small_clip() -> Any:
    """Two blocks with random weights, for windows of 64 pixels."""
    from tests.synthetic_clip import clip_model

    return clip_model(layers=2, patch=8, size=64)
