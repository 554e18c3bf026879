"""Stores the answers of judges in a DuckDB table, so that no word is asked twice. One writer at a time."""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa

from contrastive_concepts.errors import UserError, one_line

TABLE = """
create table if not exists answers (
    model varchar not null, revision varchar not null, prompt_hash varchar not null, parameters varchar not null,
    word varchar not null, p double, answer varchar not null, parsed boolean not null, judge varchar not null,
    asked_at timestamptz not null default now(), remark varchar default '',
    primary key (model, revision, prompt_hash, parameters, word));
alter table answers add column if not exists remark varchar default ''
"""


@dataclass(frozen=True)
class AnswerKey:
    """Everything that an answer depends on, except the word. `parameters`: decoding parameters as canonical JSON.

    weights: what was loaded, if it differs from `model`. For readers only, as `parameters` includes it too.
    """

    judge: str
    model: str
    revision: str
    prompt_hash: str
    parameters: str
    weights: str = ""


@dataclass(frozen=True)
class Answer:
    """A model's answer for one word. `p` is the probability of yes, or None if the answer has none.

    remark: anything unusual about this answer, such as a field that the server refused."""

    word: str
    p: float | None
    answer: str
    parsed: bool
    remark: str = ""


def probability(log_odds: float) -> float:
    """P(visible) from its log-odds."""
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0


def answer_of(word: str, log_odds: float) -> Answer:
    """The verdict of a judge that gives log-odds of P(visible). They are its `answer`."""
    return Answer(word, probability(log_odds), f"{log_odds:.4f}", True)


class AnswerStore:
    """The table of answers in a DuckDB file. A context manager that locks the file for this process.

    Raises UserError if the folder cannot be written, the file is damaged or is not an answer file, or another process
    still holds the lock after `wait_s` seconds.
    """

    def __init__(self, path: str | Path, wait_s: float = 60.0) -> None:
        self.path = Path(path)
        self._connection = self._open(wait_s)
        try:
            self._connection.execute(TABLE)
            self._connection.execute(
                "select model, revision, prompt_hash, parameters, word, p, answer, parsed, judge, remark from answers"
                " limit 0"
            )
        except duckdb.Error as error:
            self._connection.close()
            raise self._corrupt(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write everything to disk and release the file."""
        self._connection.close()

    def known(self, key: AnswerKey, words: Iterable[str]) -> dict[str, Answer]:
        """The stored answers to this key, for those of `words` that were already asked."""
        try:
            rows = self._connection.execute(
                "select word, p, answer, parsed, coalesce(remark, '') from answers"
                " where model = ? and revision = ? and prompt_hash = ? and parameters = ?",
                _columns(key),
            ).fetchall()
        except duckdb.Error as error:
            raise self._corrupt(error) from None
        wanted = set(words)
        return {row[0]: Answer(*row) for row in rows if row[0] in wanted}

    def append(self, key: AnswerKey, answers: Sequence[Answer]) -> None:
        """Write answers to disk in one transaction. A word that already has an answer keeps it."""
        # A table is inserted at once; row by row, DuckDB takes 4 ms for each.
        rows = pa.table({  # noqa: F841 - DuckDB finds it by its name
            "word": pa.array([answer.word for answer in answers], pa.string()),
            "p": pa.array([answer.p for answer in answers], pa.float64()),
            "answer": pa.array([answer.answer for answer in answers], pa.string()),
            "parsed": pa.array([answer.parsed for answer in answers], pa.bool_()),
            "remark": pa.array([answer.remark for answer in answers], pa.string()),
        })  # fmt: skip
        columns = "model, revision, prompt_hash, parameters, judge, word, p, answer, parsed, remark"
        insert = f"insert into answers ({columns}) select ?, ?, ?, ?, ?, * from rows on conflict do nothing"
        try:
            self._connection.execute(insert, [*_columns(key), key.judge])
        except duckdb.Error as error:
            raise UserError(f"{self.path}: answers cannot be written ({one_line(error)})") from None

    def _open(self, wait_s: float) -> duckdb.DuckDBPyConnection:
        deadline = time.monotonic() + wait_s
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path.parent}: cannot be created ({error.strerror})") from None
        while True:
            try:
                return duckdb.connect(str(self.path))
            except duckdb.Error as error:
                if "Could not set lock" not in str(error):
                    raise self._corrupt(error) from None
                if time.monotonic() >= deadline:
                    holder = (
                        str(error).partition("\n")[0].partition("Conflicting lock is held in ")[2].partition(". See")[0]
                    )
                    raise UserError(
                        f"{self.path}: still held by another process after {wait_s:g} s"
                        f"{f' ({holder})' if holder else ''}, expected one writer"
                    ) from None
            time.sleep(min(0.2, max(0.0, deadline - time.monotonic())))

    def _corrupt(self, error: duckdb.Error) -> UserError:
        return UserError(
            f"{self.path}: not a sound DuckDB file of answers ({one_line(error)}); move it away to start anew"
        )


def _columns(key: AnswerKey) -> list[str]:
    return [key.model, key.revision, key.prompt_hash, key.parameters]
