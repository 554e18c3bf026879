"""The lexicon judge on a tiny database of the real format, and on Debian's where it is installed."""

from pathlib import Path

import numpy as np
import pytest

from contrastive_concepts.config.visibility import Ratings, WordNetJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.agreement import agreement
from contrastive_concepts.visibility.calibration import rated_nouns
from contrastive_concepts.visibility.judging import build_judge, judge_concepts
from contrastive_concepts.visibility.wordnet import LexiconJudge

DEBIAN = Path("/usr/share/wordnet")
RATINGS = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "lists" / "mrc_conc_imag.csv"

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by  \n"
# entity > physical_entity > {dog, bank (slope), water}; entity > abstraction > {bank (trust), liberty}; Fido is a dog.
DATA = """\
00001740 03 n 01 entity 0 001 ~ 00001930 n 0000 | that which exists
00001930 03 n 01 physical_entity 0 001 @ 00001740 n 0000 | an entity that has physical existence
00002137 03 n 02 abstraction 0 abstract_entity 0 001 @ 00001740 n 0000 | a general concept
00003000 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 002 @ 00001930 n 0000 #m 00004000 n 0000 | barks; a | in a gloss
00004000 17 n 01 bank 0 001 @ 00001930 n 0000 | sloping land
00005000 14 n 01 bank 1 001 @ 00002137 n 0000 | it takes deposits
00006000 07 n 01 liberty 0 001 @ 00002137 n 0000 | freedom
00007000 05 n 01 Fido 0 001 @i 00003000 n 0000 | somebody's dog
00008000 06 n 01 fire_hydrant 0 001 @ 00001930 n 0000 | an upright hydrant
"""
INDEX = """\
abstraction n 1 1 @ 1 0 00002137
bank n 2 1 @ 2 1 00004000 00005000
dog n 1 2 @ #m 1 1 00003000
domestic_dog n 1 1 @ 1 0 00003000
entity n 1 1 ~ 1 0 00001740
fido n 1 1 @i 1 0 00007000
fire_hydrant n 1 1 @ 1 0 00008000
liberty n 1 1 @ 1 0 00006000
physical_entity n 1 1 @ 1 0 00001930
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data.noun").write_text(LICENCE + DATA)
    (tmp_path / "index.noun").write_text(LICENCE + INDEX)
    return tmp_path


def judge(folder: Path) -> LexiconJudge:
    return LexiconJudge(WordNetJudge(judge="wordnet", folder=str(folder)))


def test_p_is_the_share_of_senses_that_are_physical(folder: Path) -> None:
    words = ["dog", "bank", "liberty", "Fido", "fire hydrant", "red fire_hydrant", "dog liberty", "blorft"]
    (answers,) = judge(folder).ask(words)
    assert [a.p for a in answers] == [1.0, 0.5, 0.0, 1.0, 1.0, 1.0, 0.0, None]
    assert [a.parsed for a in answers] == [True] * 7 + [False]
    assert [a.answer for a in answers[1:2] + answers[5:6]] == ["1 of 2 senses of bank", "1 of 1 senses of fire_hydrant"]


def test_every_record_says_that_no_model_was_asked(folder: Path) -> None:
    built = build_judge(WordNetJudge(judge="wordnet", folder=str(folder)))
    table = judge_concepts(["dog", "liberty", "blorft"], built, folder / "answers.duckdb", 0.5)
    assert table["visible"].to_list() == [True, False, False]
    assert table["parsed"].to_list() == [True, True, False]
    assert set(table["judge"]) == {"wordnet"}
    assert set(table["model"]) == {"WordNet nouns, no language model"}


def test_another_database_is_another_answer_key(folder: Path) -> None:
    before = judge(folder).answer_key
    (folder / "data.noun").write_text(LICENCE + DATA.replace("00006000 07 n", "00006000 08 n"))
    assert judge(folder).answer_key.revision != before.revision


def test_what_is_no_database_is_one_line(folder: Path) -> None:
    with pytest.raises(UserError, match=r"config: visibility.folder: .*none/index.noun not found, expected a WordNet"):
        _ = judge(folder / "none").answer_key
    (folder / "index.noun").write_text("physical_entity n 1\n")
    with pytest.raises(UserError, match=r"index.noun: line 1: found 'physical_entity n 1"):
        list(judge(folder).ask(["dog"]))
    (folder / "index.noun").write_text(INDEX.replace("physical_entity", "other_entity"))
    with pytest.raises(UserError, match="no entry 'physical_entity'"):
        list(judge(folder).ask(["dog"]))
    (folder / "index.noun").write_text(INDEX)
    (folder / "data.noun").write_text(LICENCE + DATA + "00009000 03 n zz\n")
    with pytest.raises(UserError, match=r"data.noun: line 11: found '00009000 03 n zz"):
        list(judge(folder).ask(["dog"]))


@pytest.mark.skipif(not (DEBIAN / "data.noun").is_file(), reason="Debian's wordnet-base is not installed")
def test_debians_database_agrees_with_a_look_at_it() -> None:
    words = ["dog", "fire hydrant", "liberty", "justice", "water", "teapot"]
    (answers,) = judge(DEBIAN).ask(words)
    found = {a.word: a.p for a in answers}
    assert found["dog"] == 1.0
    assert found["teapot"] == 1.0
    assert found["fire hydrant"] == 1.0
    assert found["liberty"] == 0.0
    assert found["justice"] == 0.25  # the judge; not the virtue, the act and, as a group, the department
    assert found["water"] == 1.0


@pytest.mark.slow
@pytest.mark.skipif(not (DEBIAN / "data.noun").is_file(), reason="Debian's wordnet-base is not installed")
@pytest.mark.skipif(not RATINGS.is_file(), reason="shared/data/lists/mrc_conc_imag.csv is absent")
def test_agreement_with_human_imageability() -> None:
    table = rated_nouns(RATINGS, Ratings())
    (answers,) = judge(DEBIAN).ask(table["word"].to_list())
    scores = np.array([np.nan if a.p is None else a.p for a in answers])
    rated = ~np.isnan(scores)
    by_image = agreement(scores[rated], table["IMAG"].to_numpy()[rated])
    assert rated.mean() > 0.95
    assert by_image.clear_auc >= 0.83
    assert agreement(scores[rated], table["CONC"].to_numpy()[rated]).clear_auc >= 0.95
