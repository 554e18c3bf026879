"""The verdicts on a list of concepts. Stored answers are used; new answers are stored as they arrive."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import polars as pl
from scipy.special import expit, logit

from contrastive_concepts.checks import require
from contrastive_concepts.config.visibility import (
    CascadeJudge,
    EmbeddingJudge,
    OneJudge,
    OpenAIJudge,
    TransformersJudge,
    VisibilitySettings,
    WordNetJudge,
)
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.answers import Answer, AnswerKey, AnswerStore
from contrastive_concepts.visibility.verdicts import VERDICTS, kept_verdicts

WAIT_S = 600.0


class Judge(Protocol):
    """Decides for words whether they name something visible. A context manager that releases its model or server."""

    @property
    def answer_key(self) -> AnswerKey:
        """Everything that the answers depend on, except the word."""

    def ask(self, words: Sequence[str]) -> Iterator[list[Answer]]:
        """Answers in small batches, in any order, each word once. Raises UserError if the model becomes unavailable."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def build_judge(settings: OneJudge, server_log: Path | None = None) -> Judge:
    """The judge that the settings name. Nothing is loaded or started before the first word.

    server_log: file for the log of a server that this process starts, written if the server fails.
    """
    if isinstance(settings, WordNetJudge):
        from contrastive_concepts.visibility.wordnet import LexiconJudge

        return LexiconJudge(settings)
    if isinstance(settings, EmbeddingJudge):
        from contrastive_concepts.visibility.embedding import EncodedJudge

        return EncodedJudge(settings)
    if isinstance(settings, TransformersJudge):
        from contrastive_concepts.visibility.in_process import InProcessJudge

        return InProcessJudge(settings)
    if isinstance(settings, OpenAIJudge):
        from contrastive_concepts.visibility.endpoint import EndpointJudge

        return EndpointJudge.of(settings)
    from contrastive_concepts.visibility.vllm_server import ServedJudge

    return ServedJudge(settings, server_log)


def require_parsed(verdicts: pl.DataFrame, least: float) -> None:
    """Raises UserError if the share of answers with a yes or no is below `least`."""
    other = verdicts.filter(~pl.col("parsed")).select("concept", "answer", "remark").head(1).rows()
    hint = ""
    if other:
        concept, answer, remark = other[0]
        said = remark if remark and not answer else f"{' '.join(answer.split())[:80]!r}"
        hint = f"of {concept!r} the judge said {said}; another model, prompt or setting of visibility may help"
    require(
        int(verdicts["parsed"].sum()), verdicts.height, least, "answers that say yes or no", "parsed_verdicts", hint
    )


def require_verdicts(verdicts: pl.DataFrame, least: float = 0.0) -> None:
    """`require_parsed`. Raises UserError also if no concept is visible."""
    require_parsed(verdicts, least)
    if verdicts.height and not verdicts["visible"].any():
        raise UserError(f"visible concepts: found none of {verdicts.height:,}, expected at least one")


def judge_concepts(
    concepts: Sequence[str],
    judge: Judge,
    answers_path: Path,
    threshold: float,
    progress: Callable[[int], None] = lambda done: None,
) -> pl.DataFrame:
    """One row per concept, in order: p_visible (null if the answer is unparsed), visible, parsed, and its origin.

    Only words without a stored answer are asked. `progress` receives the number of words that have an answer.
    """
    key = judge.answer_key
    words = list(dict.fromkeys(concepts))
    with AnswerStore(answers_path, WAIT_S) as store:
        answers = store.known(key, words)
        progress(len(answers))
        missing = [word for word in words if word not in answers]
        if missing:
            with judge:
                for batch in judge.ask(missing):
                    store.append(key, batch)
                    answers |= {answer.word: answer for answer in batch}
                    progress(len(answers))
    rows = [
        (
            concept,
            answers[concept].p if answers[concept].parsed else None,
            answers[concept].parsed and (answers[concept].p or 0.0) >= threshold,
            answers[concept].parsed,
            answers[concept].answer,
            answers[concept].remark,
            key.judge,
            key.model,
            key.revision,
            key.prompt_hash,
            key.weights,
            None,
            None,
        )
        for concept in concepts
    ]
    return pl.DataFrame(rows, schema=VERDICTS, orient="row")


def give_verdicts(
    concepts: Sequence[str],
    judges: Sequence[Judge],
    settings: VisibilitySettings,
    answers_path: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> pl.DataFrame:
    """`judge_concepts` with the judges of the settings: one, or the two of a cascade. Kept verdicts need no judge.

    In a cascade the second judge is asked only where the embedding is unclear, and each row names who decided: the
    embedding, the second judge, or both. If both decide and the second's answer is unparsed, the embedding decides and
    a remark says so. `progress` receives the number of decided words.
    """
    if settings.kept_verdicts is None:
        return _judged(concepts, judges, settings, answers_path, progress)
    kept = kept_verdicts(settings.kept_verdicts, concepts, settings.threshold)
    known = set(kept["concept"])
    rest = [concept for concept in dict.fromkeys(concepts) if concept not in known]
    print(f"{len(known):,} words have kept verdicts ({settings.kept_verdicts}), {len(rest):,} are judged")
    progress(len(known))
    if rest:
        judged = _judged(rest, judges, settings, answers_path, lambda done: progress(len(known) + done))
        kept = pl.concat([kept, judged])
    return pl.DataFrame({"concept": concepts}, schema={"concept": pl.String}).join(
        kept, on="concept", how="left", maintain_order="left"
    )


def _judged(
    concepts: Sequence[str],
    judges: Sequence[Judge],
    settings: VisibilitySettings,
    answers_path: Path,
    progress: Callable[[int], None],
) -> pl.DataFrame:
    """The verdicts of the judges themselves."""
    ours = judge_concepts(
        concepts, judges[0], answers_path, settings.threshold, progress if len(judges) == 1 else lambda done: None
    )
    if not isinstance(settings, CascadeJudge):
        return ours
    low, high = settings.unclear
    unclear = ours.filter(pl.col("p_visible").is_between(low, high))["concept"].unique(maintain_order=True).to_list()
    clear = ours["concept"].n_unique() - len(unclear)
    print(f"{clear:,} words are clear to the embedding, {len(unclear):,} are asked of {judges[1].answer_key.model}")
    theirs = judge_concepts(unclear, judges[1], answers_path, settings.threshold, lambda done: progress(clear + done))
    asked = {row["concept"]: row for row in theirs.iter_rows(named=True)}
    rows = [_decided(row, asked.get(row["concept"]), settings) for row in ours.iter_rows(named=True)]
    return pl.DataFrame(rows, schema=VERDICTS, orient="row")


def _decided(ours: dict[str, Any], theirs: dict[str, Any] | None, settings: CascadeJudge) -> dict[str, Any]:
    """The verdict on a word of which the embedding said `ours` and the second judge `theirs`, if it was asked."""
    said = {"p_embedding": ours["p_visible"], "p_second": theirs and theirs["p_visible"]}
    if theirs is None:
        return ours | said
    if settings.decides == "second":
        return theirs | said
    if not theirs["parsed"]:
        return ours | said | {"remark": "the second judge said neither yes nor no"}
    p = float(expit((_log_odds(ours["p_visible"]) + _log_odds(theirs["p_visible"])) / 2))
    both = {name: f"{ours[name]} + {theirs[name]}" for name in ("judge", "model", "revision", "prompt_hash", "answer")}
    return theirs | said | both | {"p_visible": p, "visible": p >= settings.threshold}


def _log_odds(p: float) -> float:
    """Finite also for a judge without log-probabilities, whose P is 0 or 1."""
    return float(logit(min(max(p, 1e-6), 1 - 1e-6)))
