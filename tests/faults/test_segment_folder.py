"""`contrastive-concepts segment` on a folder, killed again and again: what is done stays, and the end is as if alone."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from contrastive_concepts.toyworld.render import draw_image

pytestmark = pytest.mark.faults
PHOTOS, KILLS = 120, 4


def command(photos: Path, output: Path) -> list[str]:
    asked = [str(photos), "--query", "boat", "--query", "dog", "--output", str(output)]
    return [sys.executable, "-m", "contrastive_concepts", "segment", *asked]


def results(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.iterdir() if path.name != "done.jsonl"}


def done(output: Path) -> list[str]:
    """The photos whose records are complete."""
    try:
        lines = (output / "done.jsonl").read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line)["name"] for line in lines if line.endswith("\n")]


def test_a_killed_folder_goes_on(tmp_path: Path) -> None:
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for number in range(PHOTOS):
        Image.fromarray(draw_image(1, number)[0]).resize((200, 150)).save(photos / f"{number:03d}.png")
    alone = tmp_path / "alone"
    subprocess.run(command(photos, alone), check=True, capture_output=True, timeout=300)
    chance = random.Random(0)
    before: dict[str, int] = {}
    for kill in range(KILLS):
        target = len(before) + chance.randint(1, PHOTOS // (KILLS + 2))
        with subprocess.Popen(command(photos, output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            while len(done(output)) < target and run.poll() is None:
                time.sleep(0.002)
            assert run.poll() is None, f"the run ended before kill {kill}"
            run.kill()
        for name, written in before.items():
            assert (output / f"{name}.boat.mask.png").stat().st_mtime_ns == written, name
        before = {name: (output / f"{name}.boat.mask.png").stat().st_mtime_ns for name in done(output)}
        assert len(before) >= target
    subprocess.run(command(photos, output), check=True, capture_output=True, timeout=300)
    for name, written in before.items():
        assert (output / f"{name}.boat.mask.png").stat().st_mtime_ns == written, name
    assert sorted(done(output)) == [f"{number:03d}" for number in range(PHOTOS)]
    assert results(output) == results(alone)
