"""The authors' release: read without running anything, selected by their rule."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from contrastive_concepts import ContrastiveConcepts
from contrastive_concepts.cooccurrence.released import released_matrix
from contrastive_concepts.dictionary.export import export
from contrastive_concepts.dictionary.official import STOPLIST, import_release
from contrastive_concepts.errors import UserError
from contrastive_concepts.restricted_pickle import load_restricted
from contrastive_concepts.vocabulary.concepts import merge_names


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> tuple[Any, Any]:
        return self.reduced


def written(tmp_path: Path, content: Any, protocol: int = 4) -> Path:
    file = tmp_path / "release.pkl"
    file.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=protocol))
    return file


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_the_release_needs_is_read(tmp_path: Path, protocol: int) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.arange(24.0).reshape(6, 4).T[1:]
    content = {
        "concept_names": ["a", "b"],
        "view": tensor,
        "half": tensor.half(),
        "long": torch.arange(5),
        "empty": torch.zeros(0, 3),
        "array": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "scalar": np.float32(3.5),
        "texts": np.array(["a", "bc"]),
        "set": {1, 2},
        "bytes": b"\xff\x00",
    }
    found = load_restricted(written(tmp_path, content, protocol))
    for name in ("view", "half", "long", "empty"):
        assert np.array_equal(found[name], content[name].numpy())
        assert found[name].dtype == content[name].numpy().dtype
    assert np.array_equal(found["array"], content["array"])
    assert found["texts"].tolist() == ["a", "bc"]
    assert (found["scalar"], found["set"], found["bytes"]) == (3.5, {1, 2}, b"\xff\x00")


def test_nothing_hostile_is_called(tmp_path: Path) -> None:
    import os

    trace = tmp_path / "trace"
    hostile = {
        "posix.system": Call(os.system, f"touch {trace}"),
        "builtins.eval": [Call(eval, "1")],
        "builtins.getattr": {"concept_names": Call(getattr, [], "append")},
        "builtins.bytearray": Call(bytearray, 10**10),
        "builtins.list": Call(list, range(3)),
    }
    for name, content in hostile.items():
        with pytest.raises(UserError, match=f"found {name}, expected"):
            load_restricted(written(tmp_path, content))
    assert not trace.exists()


def test_a_call_inside_a_tensor_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    import os

    trace = tmp_path / "trace"
    inner = pickle.dumps(Call(os.system, f"touch {trace}"))
    for stream in (inner, pickle.dumps(1) * 3 + inner + pickle.dumps([])):
        with pytest.raises(UserError, match="system"):
            load_restricted(written(tmp_path, Call(torch.storage._load_from_bytes, stream)))
    assert not trace.exists()


def test_bombs_ask_for_no_memory(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from numpy._core.multiarray import _reconstruct

    bombs = [
        Call(_reconstruct, np.ndarray, (10**10,), b"b"),
        Call(np.ndarray, (10**10,)),
        Call(np.dtype, "V2000000000"),
        torch.zeros(1).expand(10**9),
    ]
    for bomb in bombs:
        with pytest.raises(UserError):
            load_restricted(written(tmp_path, bomb))
    memo = b"\x80\x04Nr" + (40_000_000).to_bytes(4, "little") + b"."
    nested = b"\x80\x04}N" + b"\x85" * 1_000_000 + b"Ns."
    for bomb, reason in ((memo, "object number 40000000 in 9 bytes"), (nested, "more than 10000 tuples")):
        with pytest.raises(UserError, match=reason):
            load_restricted(written(tmp_path, bomb))
    storage = io.BytesIO()
    torch.save(torch.zeros(3).untyped_storage(), storage, _use_new_zipfile_serialization=False)
    with pytest.raises(UserError):
        load_restricted(written(tmp_path, Call(torch.storage._load_from_bytes, storage.getvalue()[:-8])))


@given(cut=st.integers(0, 400), flip=st.integers(0, 400), byte=st.integers(0, 255))
def test_damaged_pickles_are_one_line(tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int, byte: int) -> None:
    folder = tmp_path_factory.mktemp("pickle")
    whole = bytearray(pickle.dumps({"concept_names": ["a", "b"], "cooc_mat": np.eye(2), "more": list(range(50))}))
    whole[flip % len(whole)] = byte
    try:
        load_restricted(written(folder, bytes(whole[: len(whole) - cut % len(whole)])))
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017 (most damage is harmless, so nothing need be raised)


def release(rng: np.random.Generator, size: int, dimension: int = 6) -> tuple[dict[str, Any], dict[str, bool]]:
    half = rng.integers(0, 40, (size, size)) * (rng.random((size, size)) < 0.5)
    counts = np.triu(half, 1) + np.triu(half, 1).T
    counts[np.diag_indices(size)] = counts.max(1) + rng.integers(0, 3, size)
    vectors = rng.normal(size=(size, dimension)) + 1.5
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [*STOPLIST[:2], *(f"concept {number}" for number in range(size))][:size]
    visible = {name: bool(rng.random() < 0.7) for name in names}
    vectors = vectors.astype(np.float32)
    content = {"concept_names": names, "cooc_mat": counts, "clip_embeds": vectors, "clip_sims": vectors @ vectors.T}
    return content, visible


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), size=st.integers(2, 12), gamma=st.floats(0, 0.6), delta=st.floats(0.3, 1))
def test_the_selection_is_theirs(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int, gamma: float, delta: float
) -> None:
    content, visible = release(np.random.default_rng(seed), size)
    folder = tmp_path_factory.mktemp("release")
    (folder / "visible.json").write_text(json.dumps(visible))
    import_release(folder / "dictionary", written(folder, content), folder / "visible.json", gamma, delta)
    dictionary = ContrastiveConcepts.load(folder / "dictionary", background=False)
    names, counts, similar = content["concept_names"], content["cooc_mat"], content["clip_sims"]
    for i, name in enumerate(names):
        theirs = {
            names[j]
            for j in range(size)
            if j != i
            and counts[i, i] > 0
            and counts[i, j] / counts[i, i] > gamma
            and abs(similar[i, j] - delta) > 1e-6
            and similar[i, j] < delta
            and visible[names[j]]
            and names[j] not in ("image", "photo", "picture", "view")
        }
        borderline = {names[j] for j in range(size) if abs(similar[i, j] - delta) <= 1e-6}
        assert set(dictionary[name]) - borderline == theirs


def test_a_release_through_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from contrastive_concepts.cli.main import app

    content, visible = release(np.random.default_rng(1), 12)
    (tmp_path / "visible.json").write_text(json.dumps(visible))
    file = written(tmp_path, content)
    arguments = ["import", str(file), "--visibility", str(tmp_path / "visible.json"), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "12 concepts" in done.output
    assert len(ContrastiveConcepts.load(tmp_path / "out")) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip_sims": np.eye(3, 2)}, r"clip_sims: found shape \(3, 2\), expected \(3, 3\)"),
        ({"clip_sims": np.eye(3, dtype=int)}, "clip_sims: found int64, expected cosines"),
        ({"concept_names": "abc"}, "concept_names: expected a list"),
        ({"cooc_mat": np.ones((2, 3))}, r"cooc_mat: found shape \(2, 3\), expected \(3, 3\)"),
        ({"cooc_mat": np.triu(np.ones((3, 3)))}, r"cooc_mat: differs from its transpose at \[0, 1\]"),
        ({"cooc_mat": -np.eye(3)}, "cooc_mat: found negative"),
        ({"clip_embeds": np.ones((3, 4))}, "clip_embeds: row 0 has length 2"),
        ({"clip_embeds": None}, "clip_embeds: found NoneType"),
    ],
)
def test_a_wrong_release_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = {"concept_names": ["a", "b", "c"], "cooc_mat": np.eye(3), "clip_embeds": np.eye(3, 4)} | change
    (tmp_path / "visible.json").write_text('{"a": true, "b": true, "c": true}')
    with pytest.raises(UserError, match=message):
        import_release(tmp_path / "out", written(tmp_path, content), tmp_path / "visible.json")


def test_a_verdict_that_is_no_verdict_is_named(tmp_path: Path) -> None:
    content = {"concept_names": ["a", "b"], "cooc_mat": np.eye(2), "clip_embeds": np.eye(2)}
    for verdicts, message in (
        ('{"a": true, "b": "yes"}', "'b': found 'yes', expected true or false"),
        ('{"c": true}', "found none of the 2 concepts"),
    ):
        (tmp_path / "visible.json").write_text(verdicts)
        with pytest.raises(UserError, match=message):
            import_release(tmp_path / "out", written(tmp_path, content), tmp_path / "visible.json")


def test_a_concept_without_a_verdict_is_counted(tmp_path: Path) -> None:
    counts = np.full((3, 3), 5) + 4 * np.eye(3, dtype=int)
    content = {"concept_names": ["a", "b", "c"], "cooc_mat": counts, "clip_embeds": np.eye(3)}
    (tmp_path / "visible.json").write_text('{"a": true, "b": true, "d": false}')
    file = written(tmp_path, content)
    for unparsed, kept in (("drop", ["b"]), ("keep", ["b", "c"])):
        manifest = import_release(tmp_path / unparsed, file, tmp_path / "visible.json", unparsed=unparsed)
        assert manifest.counts["concepts without a verdict"] == 1
        assert sorted(ContrastiveConcepts.load(tmp_path / unparsed, background=False)["a"]) == kept


def test_a_repeated_name_is_taken_as_they_take_it(tmp_path: Path) -> None:
    """Their nearest neighbour is the first row of a name; as a contrastive concept any of its rows will do."""
    names = ["boat", "sea", "boat", "sea", "dog"]
    counts = np.array(
        [[100, 0, 90, 40, 30], [0, 50, 5, 20, 0], [90, 5, 95, 60, 1], [40, 20, 60, 80, 0], [30, 0, 1, 0, 60]]
    )
    vectors = np.eye(5)
    vectors[2] = vectors[0]
    content = {"concept_names": names, "cooc_mat": counts, "clip_embeds": vectors}
    (tmp_path / "visible.json").write_text('{"boat": true, "sea": true, "dog": true}')
    manifest = import_release(tmp_path / "out", written(tmp_path, content), tmp_path / "visible.json")
    dictionary = ContrastiveConcepts.load(tmp_path / "out", background=False)
    # boat: the row of boat 0 alone; its "sea" is row 3. sea: row 1 meets boat's second row.
    assert dict(dictionary.items()) == {"boat": ["sea", "dog"], "sea": ["boat"], "dog": ["boat"]}
    assert manifest.config["similarities"] == "clip_embeds"


def test_the_releases_own_cosines_count(tmp_path: Path) -> None:
    cosines = np.eye(3, dtype=np.float32)
    cosines[0, 1] = cosines[1, 0] = 0.8
    content = {
        "concept_names": ["a", "b", "c"], "cooc_mat": np.full((3, 3), 5) + np.eye(3), "clip_embeds": np.eye(3),
        "clip_sims": cosines,
    }  # fmt: skip
    (tmp_path / "visible.json").write_text('{"a": true, "b": true, "c": true}')
    manifest = import_release(tmp_path / "out", written(tmp_path, content), tmp_path / "visible.json")
    # 0.8 is delta as float32 has it: too similar, as in their comparison of a float32 tensor with 0.8.
    assert ContrastiveConcepts.load(tmp_path / "out", background=False)["a"] == ["c"]
    assert manifest.config["similarities"] == "clip_sims"


class Prompted:
    """An encoder that returns what it was given: a text's vector, whatever the prompt around it."""

    name, weights_sha256 = "given", "0" * 64

    def __init__(self, vectors: dict[str, np.ndarray]) -> None:
        self.vectors = vectors
        self.dimension = len(next(iter(vectors.values())))

    def encode(self, prompts: Any) -> np.ndarray:
        chosen = [max((text for text in self.vectors if text in prompt), key=len) for prompt in prompts]
        return np.stack([self.vectors[text] for text in chosen]).astype(np.float32)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), size=st.integers(3, 12), queries=st.integers(1, 5))
def test_their_files_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int, queries: int
) -> None:
    """Against the rule in plain loops; a line's order, which their format leaves open, is by frequency, then by place."""
    rng = np.random.default_rng(seed)
    content, visible = release(rng, size)
    names, counts, vectors = content["concept_names"], content["cooc_mat"], content["clip_embeds"].astype(np.float64)
    asked = {f"query {'abcde'[number]}": rng.normal(size=vectors.shape[1]) + 1.5 for number in range(queries)}
    folder = tmp_path_factory.mktemp("release")
    (folder / "visible.json").write_text(json.dumps(visible))
    import_release(folder / "dictionary", written(folder, content), folder / "visible.json")
    encoder = Prompted({text: vector / np.linalg.norm(vector) for text, vector in asked.items()})
    dictionary = ContrastiveConcepts.load(folder / "dictionary", encoder=encoder)
    export(dictionary, list(asked), folder / "out", "text", "run")
    mapping, plain = [], []
    for text, vector in asked.items():
        near = vectors @ (vector / np.linalg.norm(vector))
        i = max(range(size), key=lambda place: near[place])
        found = []
        for j in range(size):
            if i == j or counts[i, i] == 0 or counts[i, j] / counts[i, i] <= 0.01:
                continue
            if vectors[i] @ vectors[j] < 0.8 and visible[names[j]] and names[j] not in STOPLIST:
                found.append((-counts[i, j], j))
        mapping.append(f"{text}: {names[i]}\n")
        plain.append(", ".join(names[j] for _, j in sorted(found)))
    assert (folder / "out" / "mapping_run.txt").read_bytes() == "".join(mapping).encode()
    assert (folder / "out" / "run.txt").read_bytes() == "".join(f"{line}\n" for line in plain).encode()
    with_background = [f"background, {line}\n" if line else "background\n" for line in plain]
    assert (folder / "out" / "bkg_run.txt").read_bytes() == "".join(with_background).encode()


def test_a_release_over_another_vocabulary() -> None:
    """Of two names of one concept the first counts; a concept that the release lacks has no captions."""
    counts = np.array([[9, 4, 2, 1], [4, 8, 3, 0], [2, 3, 7, 5], [1, 0, 5, 6]])
    concepts, _ = merge_names(["zebra", "boat", "Dogs"], "bag")
    found = released_matrix(sparse.csr_array(counts), ["dog", "dogs", "boats", "sky"], concepts, "bag")
    assert found.toarray().tolist() == [[0, 0, 0], [0, 7, 2], [0, 2, 9]]
    assert found.dtype == np.int64
