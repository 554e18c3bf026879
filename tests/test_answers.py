"""The store of answers: nothing lost, nothing kept twice, one writer."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.answers import Answer, AnswerKey, AnswerStore

KEY = AnswerKey("openai", "m", "r", "h", "{}")

WRITER = """
import sys, time
from contrastive_concepts.visibility.answers import Answer, AnswerStore, AnswerKey
with AnswerStore(sys.argv[1]) as store:
    for i in range(40):
        store.append(AnswerKey("openai", "m", "r", "h", "{}"), [Answer(f"w{i}", 0.5, "yes", True)])
    print("written", flush=True)
    time.sleep(60)
"""


def test_answers_survive_and_are_told_apart_by_every_part_of_the_answer_key(tmp_path: Path) -> None:
    given = [Answer("cat", 0.9, "yes", True), Answer('it\'s "odd"', None, "perhaps\n", False)]
    with AnswerStore(tmp_path / "new" / "answers.duckdb") as store:
        store.append(KEY, given)
        store.append(KEY, [Answer("cat", 0.1, "no", True)])
        store.append(KEY, [])
    with AnswerStore(tmp_path / "new" / "answers.duckdb") as store:
        assert store.known(KEY, ["cat", 'it\'s "odd"', "dog"]) == {answer.word: answer for answer in given}
        for other in (
            ("openai", "M", "r", "h", "{}"),
            ("openai", "m", "R", "h", "{}"),
            ("openai", "m", "r", "H", "{}"),
        ):
            assert store.known(AnswerKey(*other), ["cat"]) == {}
        assert store.known(AnswerKey("openai", "m", "r", "h", '{"temperature": 1}'), ["cat"]) == {}


def test_a_killed_writer_loses_nothing_and_a_second_writer_waits_its_turn(tmp_path: Path) -> None:
    path = tmp_path / "answers.duckdb"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        with pytest.raises(
            UserError, match=rf"answers.duckdb: still held by another process after 0.3 s .*PID {writer.pid}"
        ):
            AnswerStore(path, wait_s=0.3)
        os.kill(writer.pid, signal.SIGKILL)
        with AnswerStore(path, wait_s=20) as store:
            assert len(store.known(KEY, [f"w{i}" for i in range(50)])) == 40


@pytest.mark.parametrize("content", [b"", b"not a database" * 1000])
def test_a_file_of_something_else_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "answers.duckdb"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"answers.duckdb: not a sound DuckDB file of answers") as caught:
        AnswerStore(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_truncated_store_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "answers.duckdb"
    with AnswerStore(path) as store:
        store.append(KEY, [Answer(f"w{i}", 0.5, "x" * 200 + str(i), True) for i in range(3000)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="not a sound DuckDB file of answers"), AnswerStore(path) as store:
        store.known(KEY, ["w1"])
