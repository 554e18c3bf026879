"""Lists out of a model's answers, and the authors' text format."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrastive_concepts.config.visibility import OpenAIJudge, VllmJudge, WordNetJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.cc_text import read_cc_text, read_classes, write_cc_text
from contrastive_concepts.visibility.generation import build_writer, lists_table, read_list, write_lists
from contrastive_concepts.visibility.prompts import load_prompt

CONTRASTIVE = load_prompt("prompts/contrastive.txt")
OFFICIAL = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "official_cc"
CLASSES = {"ade20k": 150, "cityscapes": 19, "coco_object": 81, "coco_stuff": 171, "context60": 60, "voc21": 21}


@pytest.mark.parametrize(
    "text",
    [
        '["water", "dock", "life jacket"]',
        "['water', 'dock', 'life jacket']",
        'Answer: ["water", "dock", "life jacket"]. These objects often surround a boat, as one can see.',
        "[water, dock, life jacket",
        "1. Water\n2. dock\n3. life jacket",
        "Here is the list:\n\n1) water\n2) dock\n3) life jacket\n\nI hope this helps, dear user!",
        "- water\n* dock\n• life jacket",
        "water, dock, life jacket.",
        "Sure, here you go: \n“water”, 'dock', `life jacket`",
        '[] ["water", "boat", "dock", "Water", "life  jacket", ""]',
    ],
)
def test_lists_of_all_shapes_are_read(text: str) -> None:
    assert [name.casefold() for name in read_list(text, "boat")][-3:] == ["water", "dock", "life jacket"]


def test_a_name_that_the_limit_of_tokens_cut_is_left_out() -> None:
    for cut in (
        '["water", "dock", "life ja',
        "['water', 'dock', 'fisherman's bo",
        '["water", "dock", "',
        '["water", "dock", ',
    ):
        assert read_list(cut, "boat") == ["water", "dock"]
    assert read_list('["water", "dock"', "boat") == read_list("[water, dock", "boat") == ["water", "dock"]
    assert read_list('["water", "fisherman\'s dock"', "boat") == ["water", "fisherman's dock"]
    assert read_list('["water", "dock]', "boat") == ["water", "dock"]


def test_an_answer_without_a_list_has_no_names() -> None:
    assert read_list("", "boat") == []
    assert read_list("<think>boat, sail, mast</think>\nwater, dock", "boat") == ["water", "dock"]
    assert read_list("<think>water, dock, and so on", "boat") == []
    assert read_list("...\n--", "boat") == []
    assert read_list("As an AI language model I cannot see what surrounds a boat in an image.", "boat") == []


@given(st.text(), st.text())
def test_names_are_clean_whatever_the_answer(text: str, query: str) -> None:
    names = read_list(text, query)
    assert len({name.casefold() for name in names}) == len(names)
    assert all(name == name.strip() and name and "," not in name for name in names)
    assert query.strip().casefold() not in {name.casefold() for name in names}


def test_prompts_are_the_papers_and_a_query_cannot_reach_into_them() -> None:
    assert load_prompt("prompts/visible.txt").fill("a {q} {0}") == (
        "Please specify whether a {q} {0} is something that one can see."
        " Reply with 'yes' or 'no' only. No explanation. Answer:"
    )
    assert (
        "Generate a list of objects surrounding the input object sea without any synonym nor parts, nor content of it."
        in (load_prompt("prompts/contrastive.txt").fill("sea"))
    )
    assert (
        load_prompt("prompts/visible.txt")
        .within(load_prompt("prompts/mixtral_template.txt"))
        .fill("sea")
        .startswith("[INST] Please specify whether sea is")
    )
    assert (
        len(
            {
                load_prompt(f"prompts/{name}.txt").sha256
                for name in ("visible", "contrastive", "parts", "mixtral_template")
            }
        )
        == 4
    )


@dataclass
class Scripted:
    """Writes a list about everything but fog."""

    identity: tuple[str, str, str] = ("openai", "m", "")
    asked: list[str] = field(default_factory=list)

    def write(self, prompts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        for key, prompt in reversed(prompts.items()):
            self.asked.append(prompt)
            yield key, "no idea what that could possibly be at all" if key == "fog" else '["sea", "boat"]'

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Holds nothing."""


def test_written_answers_are_kept_and_not_asked_for_again(tmp_path: Path) -> None:
    writer = Scripted()
    for _ in range(2):
        lists = write_lists(["boat", "fog", "boat"], CONTRASTIVE, writer, tmp_path / "a.duckdb")
        assert lists == {"boat": ["sea"], "fog": []}
        assert list(lists) == ["boat", "fog"]
    assert len(writer.asked) == 2
    assert load_prompt("prompts/contrastive.txt").fill("boat") in writer.asked
    write_lists(["boat"], load_prompt("prompts/parts.txt"), writer, tmp_path / "a.duckdb")
    assert writer.asked[2:] == [load_prompt("prompts/parts.txt").fill("boat")]
    table = lists_table(lists, CONTRASTIVE, writer)
    assert table.row(0) == ("boat", ["sea"], "openai", "m", "", load_prompt("prompts/contrastive.txt").sha256)


def test_a_lexicon_writes_nothing() -> None:
    with pytest.raises(UserError, match="found 'wordnet', expected a language model to write lists"):
        build_writer(WordNetJudge(judge="wordnet", folder="none"))
    assert build_writer(VllmJudge(judge="vllm")).identity[0] == "vllm"
    assert build_writer(OpenAIJudge(judge="openai", url="http://127.0.0.1:9/v1")).identity[0] == "openai"


def test_a_class_list_keeps_its_lines(tmp_path: Path) -> None:
    (tmp_path / "cls.txt").write_text("background\ntraffic light \n\nperson\n")
    assert read_classes(tmp_path / "cls.txt") == ["background", "traffic light", "person"]
    (tmp_path / "cls.txt").write_text("\n")
    with pytest.raises(UserError, match=r"cls.txt: found no class"):
        read_classes(tmp_path / "cls.txt")


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="shared/data/official_cc is absent")
@pytest.mark.parametrize("name", CLASSES)
def test_the_authors_files_are_read_whole(name: str, tmp_path: Path) -> None:
    source = OFFICIAL / f"CC_LLM_{name}.txt"
    classes = read_cc_text(source)
    assert len(classes) == CLASSES[name]
    assert len(classes) == len((OFFICIAL / f"cls_{name}.txt").read_text(encoding="utf-8").splitlines())
    assert all(names[0] == "background" and all(names) for names in classes)
    write_cc_text(tmp_path / "copy.txt", classes)
    assert read_cc_text(tmp_path / "copy.txt") == classes
    written = (tmp_path / "copy.txt").read_text(encoding="utf-8").split()
    assert "".join(written) == "".join(source.read_text(encoding="utf-8").split())


@pytest.mark.parametrize("name", ["a, b", " a", "", "a\nb"])
def test_a_name_that_the_format_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="line 2: found the name"):
        write_cc_text(tmp_path / "cc.txt", [["background"], [name]])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"background, caf\xe9\n")
    with pytest.raises(UserError, match=r"latin.txt: line 1: byte 15 is not UTF-8"):
        read_cc_text(tmp_path / "latin.txt")
    with pytest.raises(UserError, match=r"none.txt: not found"):
        read_cc_text(tmp_path / "none.txt")
