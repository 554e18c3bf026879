"""A test of a configuration's judge and encoder with three words, which measures time and memory."""

import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from contrastive_concepts.config.run import RunSettings
from contrastive_concepts.config.visibility import OneJudge, VllmJudge, judges_of
from contrastive_concepts.visibility.answers import Answer
from contrastive_concepts.visibility.judging import build_judge

WORDS = ["boat", "water", "freedom"]
FURTHER = {"vllm": 512, "transformers": 32, "embedding": 1024}
"""Number of further words for the speed, by judge. Not for `openai`, because its requests can cost money."""
RSS_BYTES = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Tried:
    """first_s: seconds to the first answers, loading included. The rates are measured after that; None if unknown."""

    answers: dict[str, Answer]
    first_s: float
    words_per_s: float | None
    tokens_per_s: float | None


def probe(settings: RunSettings) -> Iterator[str]:
    """Yield the results as lines, as soon as they are known. Raises UserError if judge or encoder cannot be used."""
    judges = judges_of(settings.visibility)
    for judge in judges:
        yield from _try_judge(judge, "judge" if len(judges) == 1 else f"judge {judge.judge}")
    yield from _try_encoder(settings)


def _try_judge(judge: OneJudge, name: str) -> Iterator[str]:
    if isinstance(judge, VllmJudge):
        from contrastive_concepts.visibility.vllm_install import check_machine

        version, gpus = check_machine(judge)
        there = ", ".join(f"{gpu.name}, {gpu.memory / 1e9:.0f} GB" for gpu in gpus)
        yield f"{name}: vLLM {version}, weights {judge.weights}, {there or 'no GPU'}"
    tried = try_judge(judge)
    verdicts = (f"{word} {_share(tried.answers[word])}" for word in WORDS)
    yield f"{name}: P(visible) of {', '.join(verdicts)}"
    speed = f", then {tried.words_per_s:.1f} words/s" if tried.words_per_s else ""
    speed += f", {tried.tokens_per_s:,.0f} tokens/s" if tried.tokens_per_s else ""
    yield f"{name}: first answers after {tried.first_s:.1f} s{speed}; {_memory()}"


def try_judge(settings: OneJudge) -> Tried:
    """Ask the three words, and further ones for the speed. Cached answers are neither read nor written."""
    further = FURTHER.get(settings.judge, 0)
    words = [*WORDS, *(f"{WORDS[number % len(WORDS)]} {number}" for number in range(further))]
    judge = build_judge(settings)
    answers: dict[str, Answer] = {}
    times = [(time.monotonic(), 0, 0)]
    with judge:
        for batch in judge.ask(words):
            answers |= {answer.word: answer for answer in batch}
            times.append((time.monotonic(), len(answers), getattr(judge, "tokens", 0)))
    (started, *_), (first, early, early_tokens), (last, late, late_tokens) = times[0], times[1], times[-1]
    seconds = last - first
    if late == early or seconds <= 0:
        return Tried(answers, first - started, None, None)
    tokens = (late_tokens - early_tokens) / seconds
    return Tried(answers, first - started, (late - early) / seconds, tokens or None)


def _try_encoder(settings: RunSettings) -> Iterator[str]:
    from contrastive_concepts.encoders.configured import build_encoder
    from contrastive_concepts.similarity.ensemble import embed

    started = time.monotonic()
    encoder = build_encoder(settings.similarity)
    loaded = time.monotonic()
    vectors = embed(WORDS, encoder, settings.similarity.templates)
    seconds = time.monotonic() - loaded
    near = float(vectors[0] @ vectors[1])
    yield (
        f"encoder: {encoder.name}, {encoder.dimension} dimensions, cosine of {WORDS[0]} and {WORDS[1]} {near:.2f}; "
        f"loaded in {loaded - started:.1f} s, {len(WORDS)} concepts in {seconds:.2f} s; {_memory()}"
    )


def _share(answer: Answer) -> str:
    return "unparsed" if answer.p is None else f"{answer.p:.2f}"


def _memory() -> str:
    """Peak memory of this process, and of the largest of its child processes that have ended."""
    own, others = (
        resource.getrusage(who).ru_maxrss * RSS_BYTES // 10**6
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    started = f", {others:,} MB in a process of the server" if others > own else ""
    return f"at most {own:,} MB here{started}{_gpu_memory()}"


def _gpu_memory() -> str:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return ""
    return f", {torch.cuda.max_memory_allocated() // 10**6:,} MB on the GPU"
