"""A light encoder is exported once for a user. From then on no process imports torch for it."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, get_ident
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrastive_concepts.config.similarity import Cleaning, OpenClipEncoder, OpenClipModel, SentenceModel
from contrastive_concepts.encoders import carried, configured
from contrastive_concepts.encoders.carried import MODEL, TOKENIZER, CarriedText
from contrastive_concepts.encoders.configured import build_encoder
from contrastive_concepts.encoders.text import OpenClipText, TextEncoder
from contrastive_concepts.errors import UserError
from contrastive_concepts.similarity.ensemble import embed_concepts

TOY = OpenClipModel(encoder="open_clip", model="toyworld-clip", pretrained=None, device="cpu")
WORDS = ["boat", "a photo of a hot dog", "freedom"]


@pytest.fixture(scope="module")
def cache(
    toy: TextEncoder, toy_export: tuple[Path, Cleaning], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A user's cache with the export of the toy CLIP. To export it again is to copy it."""

    def copied(encoder: TextEncoder, folder: Path) -> Cleaning:
        shutil.copytree(toy_export[0], folder)
        return toy_export[1]

    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setattr("contrastive_concepts.encoders.carry.carry", copied)
        patch.setattr(configured, "load_encoder", lambda settings, key: toy)
        build_encoder(TOY)
        yield folder


def exports(cache: Path) -> list[Path]:
    return list((cache / "contrastive-concepts" / "encoders").iterdir())


def test_the_export_gives_the_vectors_of_the_encoder(cache: Path, toy: TextEncoder) -> None:
    exported = build_encoder(TOY)
    assert isinstance(exported, CarriedText)
    for what in ("name", "weights_sha256", "dimension"):
        assert getattr(exported, what) == getattr(toy, what)
    assert np.allclose(exported.encode(WORDS), toy.encode(WORDS), atol=1e-5)
    assert len(exports(cache)) == 1


def test_another_process_imports_no_torch(cache: Path) -> None:
    program = (
        "import sys\n"
        "from contrastive_concepts.config.similarity import OpenClipModel\n"
        "from contrastive_concepts.encoders.configured import build_encoder\n"
        "from contrastive_concepts.similarity.ensemble import embed\n"
        f"vectors = embed(['boat'], build_encoder(OpenClipModel(**{TOY.model_dump()!r})), 'imagenet')\n"
        "print(vectors.shape, [name for name in ('torch', 'open_clip', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["(1, 128) []"]


def test_a_damaged_export_is_made_anew(cache: Path, toy: TextEncoder) -> None:
    (folder,) = exports(cache)
    (folder / MODEL).write_bytes((folder / MODEL).read_bytes()[:1000])
    (folder / TOKENIZER).unlink()
    again = build_encoder(TOY)
    assert isinstance(again, CarriedText)
    assert np.allclose(again.encode(WORDS), toy.encode(WORDS), atol=1e-5)
    assert exports(cache) == [folder]


def test_the_encoder_itself_runs_where_there_is_no_export(
    cache: Path, toy: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(error: Exception) -> Callable[..., Any]:
        def refused(*_: object) -> Any:
            raise error

        return refused

    # For a GPU, and for an encoder that is large or elsewhere.
    assert isinstance(build_encoder(TOY.model_copy(update={"device": "cuda"})), OpenClipText)
    monkeypatch.setattr(configured, "_GPUS", ("/dev/null",))
    assert isinstance(build_encoder(TOY.model_copy(update={"device": "auto"})), OpenClipText)
    assert isinstance(build_encoder(TOY.model_copy(update={"pretrained": "some.pt"})), OpenClipText)
    # Where the cache is no folder, and where the export fails.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert isinstance(build_encoder(TOY), OpenClipText)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for error in (UserError("cannot be exported"), ModuleNotFoundError("No module named 'onnxscript'")):
        monkeypatch.setattr(configured, "_export", refuse(error))
        assert isinstance(build_encoder(TOY), OpenClipText)
    # Where the user has no home, and where a file cannot be read.
    monkeypatch.setattr(configured, "user_cache", refuse(RuntimeError("Could not determine home directory.")))
    assert isinstance(build_encoder(TOY), OpenClipText)
    monkeypatch.setattr(configured, "content_sha256", refuse(PermissionError("Permission denied")))
    assert isinstance(build_encoder(TOY), OpenClipText)


def test_what_a_killed_process_left_is_removed(cache: Path) -> None:
    (folder,) = exports(cache)
    for name, age in (("unfinished-old", 2 * 3600), ("unfinished-new", 0)):
        (folder.parent / name).mkdir()
        (folder.parent / name / MODEL).write_bytes(b"x")
        os.utime(folder.parent / name, (time.time() - age,) * 2)
    shutil.rmtree(folder)
    build_encoder(TOY)
    assert {path.name for path in exports(cache)} == {folder.name, "unfinished-new"}
    shutil.rmtree(folder.parent / "unfinished-new")


def test_an_export_with_other_vectors_is_not_kept(
    cache: Path, toy: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(carried.CLEANINGS, "whitespace", lambda text: "dog")
    assert build_encoder(TOY) is toy
    assert exports(tmp_path) == []


def test_a_changed_model_is_exported_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def note(encoder: TextEncoder, folder: Path) -> None:
        asked.append(folder.name)
        raise UserError("not here")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(configured, "load_encoder", lambda settings, key: "an encoder")
    monkeypatch.setattr(configured, "_export", note)
    (tmp_path / "model").mkdir()
    settings = SentenceModel(encoder="sentence_transformers", model=str(tmp_path / "model"), device="cpu")
    for weights in (b"one", b"two", b"one"):
        (tmp_path / "model" / "model.safetensors").write_bytes(weights)
        assert build_encoder(settings) == "an encoder"
    assert asked[0] == asked[2] != asked[1]


def test_a_dictionary_carries_the_export(cache: Path, tmp_path: Path) -> None:
    exported = build_encoder(TOY)
    (folder,) = exports(cache)
    for precision in ("float32", "int8"):
        settings = OpenClipEncoder(**TOY.model_dump(), carry_precision=precision)
        embed_concepts(["boat", "dog"], exported, settings, tmp_path / "vectors.npy", tmp_path / "encoder.json")
        same = (tmp_path / MODEL).read_bytes() == (folder / MODEL).read_bytes()
        assert same == (precision == "float32")
        assert (tmp_path / TOKENIZER).read_bytes() == (folder / TOKENIZER).read_bytes()


@given(st.text(st.characters(codec="ascii")))
def test_plain_text_needs_no_repair(text: str) -> None:
    import html

    import ftfy

    assert carried._basic(text) == html.unescape(html.unescape(ftfy.fix_text(text)))


def test_as_many_batches_at_once_as_a_job_has_threads(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["boat on the water", "dog"] * 3 * carried.BATCH
    cores = len(os.sched_getaffinity(0))
    expected: np.ndarray[Any, Any] | None = None
    for said, threads in (("1", 1), ("3", 3), ("", cores), ("4,2", cores)):
        monkeypatch.setenv("OMP_NUM_THREADS", said)
        encoder = build_encoder(TOY)
        assert isinstance(encoder, CarriedText)
        running: set[int] = set()
        enough = Event()

        def encode(
            batch: Any, e: Any = encoder._encode, r: Any = running, at_once: int = threads, go: Any = enough
        ) -> Any:
            # One thread alone could be so quick that it takes all batches: each waits for a second one.
            r.add(get_ident())
            if len(r) >= min(at_once, 2):
                go.set()
            assert go.wait(60)
            return e(batch)

        monkeypatch.setattr(encoder, "_encode", encode)
        found = encoder.encode(words)
        assert min(threads, 2) <= len(running) <= threads
        expected = found if expected is None else expected
        assert np.array_equal(found, expected)


def test_a_batch_has_texts_of_as_many_tokens(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = build_encoder(TOY)
    assert isinstance(encoder, CarriedText)
    sizes: list[list[int]] = []
    encode = encoder._encode
    monkeypatch.setattr(
        encoder, "_encode", lambda batch: (sizes.append([len(each) for each in batch]), encode(batch))[1]
    )
    monkeypatch.setattr(carried, "AT_ONCE", 4 * carried.BATCH)
    texts = ["waterfalls", "a dog here"] * 4 * carried.BATCH  # as many characters
    vectors = encoder.encode(texts)
    assert len(sizes) == 8
    assert all(len(set(batch)) == 1 for batch in sizes)
    assert len({batch[0] for batch in sizes}) == 2
    assert (vectors[::2] == vectors[0]).all()
    assert (vectors[1::2] == vectors[1]).all()
