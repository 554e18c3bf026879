"""What several test files use."""

import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contrastive_concepts.captions.formats import detect_format, find_column, read_captions
from contrastive_concepts.dictionary.official import import_release
from contrastive_concepts.matching.counting import CooccurrenceCounter, mentions
from contrastive_concepts.matching.lexicon import Lexicon
from contrastive_concepts.resources import user_cache
from tests.conftest import DATA
from tests.synthetic_clip import draw

VALID: dict[str, Any] = {
    "run": "test",
    "captions": {"source": "shards", "shards": ["*.parquet"]},
    "vocabulary": {"source": "given", "path": "concepts.txt"},
    "visibility": {"judge": "transformers"},
    "similarity": {"encoder": "open_clip"},
}


def lend_cache(folder: Path) -> None:
    """What is kept between runs, in a cache of a test's own: nothing is compiled or exported anew."""
    kept = user_cache("")
    kept.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    (folder / kept.name).symlink_to(kept)


def read_all(path: Path, column: str | int | None = None) -> list[str | None]:
    """The captions of a file, as text."""
    layout = detect_format(str(path))
    values = [
        value
        for batch in read_captions(str(path), layout, find_column(str(path), layout, column), 2)
        for value in batch.to_pylist()
    ]
    return [value.decode() if isinstance(value, bytes) else value for value in values]


needs_data = pytest.mark.skipif(not DATA.exists(), reason="the real captions are not here (../shared/data)")


PARITY = DATA / "parity"
needs_parity = pytest.mark.skipif(not PARITY.is_dir(), reason="../shared/data/parity is not on this machine")


def parity_arrays(name: str) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of a file in ../shared/data/parity/evaluation."""
    with np.load(PARITY / "evaluation" / name) as stored:
        return {key: stored[key] for key in stored.files}


def found(captions: Sequence[str | bytes | None] | pa.Array, lexicon: Lexicon) -> list[set[int]]:
    """The concepts of each caption, by number; the kernel's lists are checked to be sorted and distinct."""
    array = captions if isinstance(captions, pa.Array | pa.ChunkedArray) else pa.array(captions, pa.large_binary())
    indptr, concepts = mentions(array, lexicon)
    assert indptr.dtype == np.int64
    assert concepts.dtype == np.int32
    rows = [concepts[a:b].tolist() for a, b in pairwise(indptr)]
    assert all(row == sorted(set(row)) for row in rows)
    return [set(row) for row in rows]


def count(
    captions: Sequence[str | bytes | None] | pa.Array, lexicon: Lexicon, limit: int = 100_000
) -> CooccurrenceCounter:
    """A counter that has counted the captions."""
    counter = CooccurrenceCounter(lexicon, limit)
    counter.add(captions if isinstance(captions, pa.Array | pa.ChunkedArray) else pa.array(captions, pa.large_binary()))
    return counter


def entries(counter: CooccurrenceCounter) -> dict[tuple[int, int], int]:
    """The entries of X, which is checked to be symmetric."""
    matrix = counter.matrix()
    assert matrix.dtype == np.int64
    assert matrix.has_canonical_format
    assert (matrix != matrix.T).nnz == 0
    coo = matrix.tocoo()
    return {(int(i), int(j)): int(n) for i, j, n in zip(*coo.coords, coo.data, strict=True)}


OWN = Path(__file__).parent / "data"
"""Some thirty captions and the concepts in them, written for these tests in the styles that the real files have."""


def written_captions() -> list[str | None]:
    """The captions of tests/data, a null and an empty one."""
    return [*(OWN / "captions.txt").read_text().splitlines(), None, ""]


def written_concepts() -> list[str]:
    """The concepts of tests/data."""
    return (OWN / "concepts.txt").read_text().splitlines()


def real_captions(name: str) -> list[str | None]:
    """The captions of a file in ../shared/data/captions."""
    path = DATA / "captions" / name
    if name.endswith(".parquet"):
        return pq.read_table(path)["TEXT"].to_pylist()
    if name.endswith(".json"):
        return [row["caption"] for row in json.loads(path.read_text())["annotations"]]
    column = 1 if "flickr" in name else 0
    return [line.split("\t")[column] for line in path.read_text().splitlines()]


def vectors(texts: Sequence[str]) -> np.ndarray[Any, Any]:
    """A unit vector for each text, always the same."""
    drawn = np.stack([draw(text, (64,), 5).numpy() for text in texts])
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


NAMES = ["boat", "water", "dog", "=1+1", "<script>alert(1)</script>", "café"]


COUNTS = [
    [9, 5, 0, 2, 3, 0],
    [5, 9, 1, 0, 0, 0],
    [0, 1, 9, 0, 0, 4],
    [2, 0, 0, 9, 0, 0],
    [3, 0, 0, 0, 9, 0],
    [0, 0, 4, 0, 0, 9],
]


def release_dictionary(
    folder: Path, gamma: float = 0.01, names: list[str] = NAMES, counts: list[list[int]] = COUNTS
) -> Path:
    """A small release in the authors' format, imported; returns the dictionary's folder."""
    folder.mkdir()
    content = {
        "concept_names": names,
        "cooc_mat": np.array(counts),
        "clip_embeds": np.eye(len(names), dtype=np.float32),
    }
    (folder / "release.pkl").write_bytes(pickle.dumps(content))
    (folder / "visible.json").write_text(json.dumps(dict.fromkeys(names, True)))
    import_release(folder / "dictionary", folder / "release.pkl", folder / "visible.json", gamma)
    return folder / "dictionary"


def chromium() -> str:
    """The browser, installed from Debian where that is possible; skips the test otherwise."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update"], capture_output=True, timeout=300)
        subprocess.run(
            ["apt-get", "install", "-y", "--no-install-recommends", "chromium"], capture_output=True, timeout=600
        )
        found = shutil.which("chromium")
    if found is None:
        pytest.skip("no Chromium here, and Debian's could not be installed")
    return found


def dom_of(page: Path, address: str = "", *options: str) -> str:
    """The page as a headless browser shows it."""
    command = [
        chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", *options,
        "--dump-dom", f"{page.resolve().as_uri()}{address}",
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout
