"""The dictionary's index: on a GPU where FAISS has one, on the CPU where it has none or the GPU refuses."""

import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from contrastive_concepts.dictionary.index import exact_index, on_gpu, read_index, write_index
from contrastive_concepts.errors import UserError


@pytest.fixture
def vectors() -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_the_index_finds_what_the_products_say(tmp_path: Path, vectors: np.ndarray) -> None:
    write_index(exact_index(vectors), tmp_path / "x.faiss")
    products = vectors @ vectors.T
    similarity, rows = read_index(tmp_path / "x.faiss").search(vectors, 3)
    np.testing.assert_array_equal(rows, np.argsort(-products, axis=1)[:, :3])
    np.testing.assert_allclose(similarity, -np.sort(-products, axis=1)[:, :3], atol=1e-6)


@pytest.mark.skipif(faiss.get_num_gpus() > 0, reason="this FAISS has a GPU")
def test_without_a_gpu_the_index_stays_where_it_is(vectors: np.ndarray) -> None:
    index = exact_index(vectors)
    assert on_gpu(index) is index


def test_a_gpu_that_refuses_leaves_the_index_on_the_cpu(
    vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("out of device memory\nat some line of C++")

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", refuse, raising=False)
    index = exact_index(vectors)
    assert on_gpu(index) is index
    assert capsys.readouterr().err == "FAISS stays on the CPU: out of device memory at some line of C++\n"


@pytest.mark.skipif(faiss.get_num_gpus() == 0, reason="this FAISS has no GPU")
def test_a_gpu_answers_as_the_cpu_does(vectors: np.ndarray) -> None:
    on_cpu = exact_index(vectors)
    moved = on_gpu(on_cpu)
    assert moved is not on_cpu
    expected, expected_rows = on_cpu.search(vectors, 3)
    found, rows = moved.search(vectors, 3)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("module", [None, "broken"])
def test_an_installation_without_faiss_says_what_to_install(
    module: str | None, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Missing, or broken as by the two packages together."""
    if module is None:
        monkeypatch.setitem(sys.modules, "faiss", None)
    else:
        monkeypatch.delitem(sys.modules, "faiss")
        (tmp_path / "faiss.py").write_text("import sys\nsys.no_such_thing")
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"install faiss-cpu or faiss-gpu-cu12, not both"):
        exact_index(vectors)
