"""Stores the answers of language models in a DuckDB table, so that no word is asked twice. One writer at a time."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb

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
        rows = [[*_columns(key), a.word, a.p, a.answer, a.parsed, key.judge, a.remark] for a in answers]
        if not rows:
            return
        columns = "model, revision, prompt_hash, parameters, word, p, answer, parsed, judge, remark"
        insert = f"insert into answers ({columns}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing"
        try:
            self._connection.begin()
            self._connection.executemany(insert, rows)
            self._connection.commit()
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
