"""Verdicts as a table: order, kept answers, unparsed words, and a judge that fails half-way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import pytest

from contrastive_concepts.config.visibility import CascadeJudge, OpenAIJudge, TransformersJudge, VllmJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.answers import Answer, AnswerKey
from contrastive_concepts.visibility.endpoint import answer_key_of
from contrastive_concepts.visibility.judging import build_judge, give_verdicts, judge_concepts
from contrastive_concepts.visibility.local_model import gguf_file


@dataclass
class Scripted:
    """Says of a word what `says` holds; fails after `limit` words."""

    says: dict[str, float | None]
    limit: int = 10**9
    asked: list[str] = field(default_factory=list)
    name: str = "scripted"

    @property
    def answer_key(self) -> AnswerKey:
        return AnswerKey(self.name, "m" if self.name == "scripted" else f"model of {self.name}", "r", "h", "{}")

    def ask(self, words: Sequence[str]) -> Iterator[list[Answer]]:
        for word in reversed(words):
            if len(self.asked) == self.limit:
                raise UserError("the model is gone")
            self.asked.append(word)
            p = self.says[word]
            yield [Answer(word, p, "maybe" if p is None else "yes", p is not None)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Holds nothing."""


def test_rows_follow_the_concepts_and_the_threshold_is_inclusive(tmp_path: Path) -> None:
    judge = Scripted({"boat": 0.9, "liberty": 0.499, "fog": 0.5, "ehm": None})
    done: list[int] = []
    table = judge_concepts(["boat", "liberty", "ehm", "fog", "boat"], judge, tmp_path / "a.duckdb", 0.5, done.append)
    assert table["concept"].to_list() == ["boat", "liberty", "ehm", "fog", "boat"]
    assert table["p_visible"].to_list() == [0.9, 0.499, None, 0.5, 0.9]
    assert table["visible"].to_list() == [True, False, False, True, True]
    assert table["parsed"].to_list() == [True, True, False, True, True]
    assert table.schema["p_visible"] == pl.Float64
    assert set(table["judge"]) == {"scripted"}
    assert sorted(judge.asked) == ["boat", "ehm", "fog", "liberty"]
    assert done == [0, 1, 2, 3, 4]


def test_a_run_that_died_asks_only_the_rest_and_another_threshold_asks_nothing(tmp_path: Path) -> None:
    words = [f"w{i}" for i in range(400)]
    says: dict[str, float | None] = {word: i / 400 for i, word in enumerate(words)}
    with pytest.raises(UserError, match="the model is gone"):
        judge_concepts(words, Scripted(says, limit=300), tmp_path / "a.duckdb", 0.5)
    rest = Scripted(says)
    resumed = judge_concepts(words, rest, tmp_path / "a.duckdb", 0.5)
    assert len(rest.asked) == 100
    assert resumed.equals(judge_concepts(words, Scripted(says), tmp_path / "b.duckdb", 0.5))
    nobody = Scripted({})
    assert judge_concepts(words, nobody, tmp_path / "a.duckdb", 0.75)["visible"].sum() == 100
    assert nobody.asked == []


def cascade(**changed: object) -> CascadeJudge:
    return CascadeJudge.model_validate(
        {"judge": "cascade", "second": {"judge": "transformers"}, "unclear": [0.2, 0.8], **changed}
    )


def test_a_cascade_asks_only_about_the_unclear_and_names_who_decided(tmp_path: Path) -> None:
    concepts = ["boat", "fog", "idea", "hill", "ehm", "fog"]
    first = Scripted({"boat": 0.95, "fog": 0.6, "idea": 0.05, "hill": 0.2, "ehm": 0.7}, name="embedding")
    second = Scripted({"fog": 0.3, "hill": 0.9, "ehm": None}, name="llm")
    done: list[int] = []
    table = give_verdicts(concepts, [first, second], cascade(), tmp_path / "a.duckdb", done.append)
    assert sorted(second.asked) == ["ehm", "fog", "hill"]
    assert table["concept"].to_list() == concepts
    assert table["judge"].to_list() == ["embedding", "llm", "embedding", "llm", "llm", "llm"]
    assert table["model"].to_list()[:2] == ["model of embedding", "model of llm"]
    assert table["visible"].to_list() == [True, False, False, True, False, False]
    assert table["parsed"].to_list() == [True, True, True, True, False, True]
    assert table["p_embedding"].to_list() == [0.95, 0.6, 0.05, 0.2, 0.7, 0.6]
    assert table["p_second"].to_list() == [None, 0.3, None, 0.9, None, 0.3]
    assert done[-1] == 5
    # A second run asks nothing, whatever the band is narrowed to.
    again = [Scripted({}, name="embedding"), Scripted({}, name="llm")]
    narrower = give_verdicts(concepts, again, cascade(unclear=[0.5, 0.65]), tmp_path / "a.duckdb")
    assert narrower["judge"].to_list() == ["embedding", "llm", "embedding", "embedding", "embedding", "llm"]


def test_a_cascade_in_which_both_decide_takes_the_mean_of_the_log_odds(tmp_path: Path) -> None:
    first = Scripted({"fog": 0.6, "hill": 0.5, "ehm": 0.7, "sun": 0.4}, name="embedding")
    second = Scripted({"fog": 0.2, "hill": 1.0, "ehm": None, "sun": 0.0}, name="llm")
    concepts = ["fog", "hill", "ehm", "sun"]
    table = give_verdicts(concepts, [first, second], cascade(decides="both"), tmp_path / "a.duckdb")
    fog = (0.6 / 0.4 * 0.2 / 0.8) ** 0.5
    assert table["p_visible"][0] == pytest.approx(fog / (1 + fog))
    assert table["p_visible"][1] > 0.999
    assert table["p_visible"][3] < 0.001
    assert table["judge"].to_list() == ["embedding + llm", "embedding + llm", "embedding", "embedding + llm"]
    assert table["model"][0] == "model of embedding + model of llm"
    assert table["remark"][2] == "the second judge said neither yes nor no"
    assert table["p_visible"][2] == 0.7
    assert table["visible"].to_list() == [False, True, True, False]


def test_the_keys_of_a_cascade_are_checked() -> None:
    for changed, message in (
        ({"unclear": [0.8, 0.2]}, "two rising numbers"),
        ({"unclear": [0.2, 1.2]}, "two rising numbers"),
        ({"second": {"judge": "transformers", "threshold": 0.3}}, "visibility.second.threshold: unknown key"),
        ({"second": {"judge": "cascade"}}, "does not match any of the expected tags"),
    ):
        with pytest.raises(ValueError, match=message):
            cascade(**changed)


def test_no_concepts_give_an_empty_table_of_the_same_columns(tmp_path: Path) -> None:
    assert judge_concepts([], Scripted({}), tmp_path / "a.duckdb", 0.5).schema["visible"] == pl.Boolean


def test_building_a_judge_starts_nothing() -> None:
    assert build_judge(VllmJudge(judge="vllm", python="no-such-python")).answer_key.model.startswith(
        "mistralai/Mixtral-8x7B"
    )
    assert build_judge(OpenAIJudge(judge="openai", url="http://127.0.0.1:9/v1")).answer_key.judge == "openai"


def test_every_setting_that_changes_an_answer_changes_the_question() -> None:
    settings = [
        {},
        {"form": "likelihood", "model": "HuggingFaceTB/SmolLM2-135M-Instruct"},
        {"api": "completion"},
        {"structured": False},
        {"revision": "b"},
        {"model": "other"},
    ]
    questions = {answer_key_of(VllmJudge(judge="vllm", **changed), "vllm") for changed in settings}  # type: ignore[arg-type]
    assert len(questions) == len(settings)
    same = answer_key_of(VllmJudge(judge="vllm", concurrency=3, threshold=0.3), "vllm")
    assert same == answer_key_of(VllmJudge(judge="vllm"), "vllm")


def test_a_model_that_is_no_single_gguf_file_is_named(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    for model, said in (
        ("package:yaml", "'package:yaml' holds 0 GGUF files, expected one$"),
        (str(tmp_path), "holds 2 GGUF files, expected one, or the model's config.json$"),
        (str(tmp_path / "c.gguf"), "c.gguf' is no file, expected a GGUF file$"),
        ("~nobody_here/c.gguf", "'~nobody_here/c.gguf' is no file, expected a GGUF file$"),
    ):
        with pytest.raises(UserError, match=said):
            build_judge(TransformersJudge(judge="transformers", model=model))


def test_what_names_a_gguf_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "folder" / "Model.GGUF"
    file.parent.mkdir()
    file.touch()
    assert gguf_file(str(file)) == gguf_file("~/folder/Model.GGUF") == file
    other = file.rename(file.with_name("model.gguf"))
    assert gguf_file("~/folder") == gguf_file(str(other.parent)) == other
    (other.parent / "config.json").touch()
    assert gguf_file(str(other.parent)) is None
    assert gguf_file("TheBloke/Some-GGUF") is None
    (tmp_path / "adapter").mkdir()
    assert gguf_file("~/adapter") is None
