"""Kept verdicts: their words are not judged again, and the table of the project is what it is said to be."""

import math
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from contrastive_concepts.cli.configuration import check
from contrastive_concepts.cli.judge import judge as command
from contrastive_concepts.config.similarity import SentenceModel
from contrastive_concepts.config.visibility import AuditSettings, CascadeJudge, EmbeddingJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.resources import RESOURCES
from contrastive_concepts.visibility import judging
from contrastive_concepts.visibility.agreement import auc
from contrastive_concepts.visibility.audit import audit
from contrastive_concepts.visibility.calibration import in_fitted_half
from contrastive_concepts.visibility.embedding import EmbeddingCalibration, EncodedJudge
from contrastive_concepts.visibility.judging import give_verdicts
from contrastive_concepts.visibility.verdicts import (
    VERDICTS,
    check_kept,
    kept_verdicts,
    read_labels,
    read_verdicts,
    with_labels,
)

from .conftest import ROOT
from .project import Project
from .test_embedding_judge import answers, in_hub_cache
from .test_visibility import Scripted

LABELS = [ROOT / "resources" / "calibrations" / "labels.csv", *sorted((ROOT / "tests" / "data").glob("*_labels.csv"))]
WORDS = ["boat", "sea", "liberty", "fog", "ehm"]
SAYS: dict[str, float | None] = {"boat": 0.9, "sea": 0.8, "liberty": 0.2, "fog": 0.5, "ehm": None}


def settings(kept: Path | str | None = None, **changed: object) -> EmbeddingJudge:
    values = {"judge": "embedding", "kept_verdicts": None if kept is None else str(kept), **changed}
    return EmbeddingJudge.model_validate(values)


@given(
    kept=st.sets(st.sampled_from(WORDS)).map({"sea"}.union),
    asked=st.lists(st.sampled_from(WORDS)),
    threshold=st.floats(0, 1),
)
def test_with_some_verdicts_kept_the_table_is_the_same(
    kept: set[str], asked: list[str], threshold: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    give_verdicts(sorted(kept), [Scripted(SAYS)], settings(), folder / "a.duckdb").write_parquet(
        folder / "kept.parquet"
    )
    judge = Scripted(SAYS)
    changed = settings(folder / "kept.parquet", threshold=threshold)
    found = give_verdicts(asked, [judge], changed, folder / "b.duckdb")
    whole = give_verdicts(asked, [Scripted(SAYS)], settings(threshold=threshold), folder / "c.duckdb")
    assert found.schema == whole.schema
    assert found.equals(whole)
    # An unparsed verdict is not kept: it may be asked again.
    assert set(judge.asked) == set(asked) - (kept - {"ehm"})


def test_each_record_names_who_decided(tmp_path: Path) -> None:
    give_verdicts(["boat"], [Scripted(SAYS, name="large")], settings(), tmp_path / "a.duckdb").write_parquet(
        tmp_path / "kept.parquet"
    )
    cascade = CascadeJudge.model_validate({
        "judge": "cascade",
        "second": {"judge": "transformers"},
        "unclear": [0.4, 0.6],
        "kept_verdicts": str(tmp_path / "kept.parquet"),
    })  # fmt: skip
    first, second = Scripted(SAYS), Scripted({"fog": 0.1}, name="second")
    done: list[int] = []
    found = give_verdicts(["sea", "boat", "fog"], [first, second], cascade, tmp_path / "b.duckdb", done.append)
    assert found["judge"].to_list() == ["scripted", "large", "second"]
    assert sorted(first.asked) == ["fog", "sea"]
    assert done[0] == 1
    assert done[-1] == 3


def test_a_table_that_cannot_be_kept_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "kept.parquet"
    with pytest.raises(UserError, match=r"kept_verdicts: found no file 'mixtral', expected .* or one of common_words"):
        kept_verdicts("mixtral", WORDS, 0.5)
    file.write_text("word,visible\nboat,yes\n")
    with pytest.raises(UserError, match=r"kept.parquet: cannot be read as verdicts"):
        kept_verdicts(str(file), WORDS, 0.5)
    table = give_verdicts(WORDS, [Scripted(SAYS)], settings(), tmp_path / "a.duckdb")
    table.drop("judge").write_parquet(file)
    with pytest.raises(UserError, match=r"kept.parquet: found the columns .*, expected .*judge"):
        kept_verdicts(str(file), WORDS, 0.5)
    for wrong in (1.5, float("nan"), None):
        table.with_columns(p_visible=pl.lit(wrong, pl.Float64)).write_parquet(file)
        with pytest.raises(UserError, match=r"'boat': found P\(visible\) .*, expected a number from 0 to 1"):
            kept_verdicts(str(file), WORDS, 0.5)
    table.with_columns(p_visible=pl.lit("much")).write_parquet(file)
    with pytest.raises(UserError, match=r"kept.parquet: cannot be read as verdicts"):
        kept_verdicts(str(file), WORDS, 0.5)
    table.filter(concept="ehm").write_parquet(file)
    with pytest.raises(UserError, match=r"kept.parquet: found no verdict that says yes or no"):
        kept_verdicts(str(file), WORDS, 0.5)
    with pytest.raises(UserError, match=r"kept_verdicts: 'x+' cannot be read"):
        kept_verdicts("x" * 300, WORDS, 0.5)
    table.write_parquet(file)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"in the results of this run, which it replaces, expected a copy"):
        check_kept(str(file), tmp_path / "link")
    assert check_kept(str(file), tmp_path / "kept") == file
    # A table of an earlier version has fewer columns.
    table.drop("remark", "weights", "p_embedding", "p_second").write_parquet(file)
    assert kept_verdicts(str(file), ["sea"], 0.5)["concept"].to_list() == ["sea"]
    # A name is no pattern, and an empty field is no text.
    table.with_columns(p_visible=pl.lit(0.1), model=pl.lit(None, pl.String)).write_parquet(tmp_path / "kep[t].parquet")
    other = kept_verdicts(str(tmp_path / "kep[t].parquet"), ["sea"], 0.5)
    assert other.select("p_visible", "model").rows() == [(0.1, "")]


def test_a_label_decides_and_what_the_embedding_said_stays(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("word,visible\nliberty,yes\nboat,no\nsaddle,yes\nehm,no\nmist,yes\n")
    words, judge = [*WORDS, "mist"], Scripted(SAYS | {"mist": 0.9}, name="embedding")
    judged = give_verdicts(words, [judge], settings(), tmp_path / "a.duckdb")
    table = with_labels(judged, read_labels(tmp_path / "mine.csv"), "mine.csv")
    rows = {row["concept"]: row for row in table.iter_rows(named=True)}
    assert list(rows) == words
    assert table.schema == pl.Schema(VERDICTS)
    sure = 1 / (1 + math.exp(-3))
    # Of "mist" the embedding said the same, so that both count: log-odds of 3 and of P = 0.9.
    assert {word: pytest.approx(row["p_visible"]) for word, row in rows.items()} == {
        "boat": 1 - sure, "sea": 0.8, "liberty": sure, "fog": 0.5, "ehm": 1 - sure, "mist": 1 / (1 + math.exp(-3) / 9),
    }  # fmt: skip
    assert {word for word, row in rows.items() if row["visible"]} == {"sea", "liberty", "fog", "mist"}
    assert {word for word, row in rows.items() if row["judge"] == "label"} == {"boat", "liberty", "ehm", "mist"}
    assert (rows["boat"]["model"], rows["boat"]["answer"], rows["boat"]["p_embedding"]) == ("label:mine.csv", "no", 0.9)
    assert table["parsed"].all()
    # A second file's label counts in place of the first's, not beside it.
    again = with_labels(table, pl.DataFrame({"word": ["mist"], "visible": [False]}), "other.csv").row(5, named=True)
    assert (again["p_visible"], again["p_embedding"]) == (pytest.approx(1 - sure), 0.9)


def test_the_command_writes_a_table_that_a_run_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = yaml.safe_load((ROOT / "config" / "redcaps.yaml").read_text())
    values |= {"answers": str(tmp_path / "answers.duckdb"), "visibility": {"judge": "embedding"}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "words.txt").write_text("boat\nliberty\n\nfire hydrant\nboat\n")
    (tmp_path / "mine.csv").write_text("word,visible\nliberty,yes\n")
    command(tmp_path / "c.yaml", tmp_path / "words.txt", tmp_path / "out" / "kept.parquet", [tmp_path / "mine.csv"])
    assert "kept.parquet: 3 words, 3 visible\n" in capsys.readouterr().out
    assert not list((tmp_path / "out").glob("*.unfinished"))
    nobody = Scripted({})
    found = give_verdicts(
        ["liberty", "boat"], [nobody], settings(tmp_path / "out" / "kept.parquet"), tmp_path / "b.duckdb"
    )
    assert found["judge"].to_list() == ["label", "embedding"]
    assert not nobody.asked


def test_the_command_refuses_what_would_lose_something(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = yaml.safe_load((ROOT / "config" / "redcaps.yaml").read_text())
    values["answers"] = str(tmp_path / "answers.duckdb")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "words.txt").write_text("liberty\nhonesty\n")
    (tmp_path / "mine.csv").write_text("word,visible\nliberty,no\nzebra,yes\n")
    arguments = (tmp_path / "c.yaml", tmp_path / "words.txt")
    for output, expected in (
        ("words.txt", "exists, expected a new file"),
        ("c.yaml/x", "cannot be made"),
        ("", "exists"),
    ):
        with pytest.raises(UserError, match=expected):
            command(*arguments, tmp_path / output)
    monkeypatch.setattr(judging, "build_judge", lambda settings: Failing())
    with pytest.raises(UserError, match="the model is gone"):
        command(*arguments, tmp_path / "new.parquet")
    assert not list(tmp_path.glob("new*"))
    # Words of which none is visible are a table too. All are judged, also those with a verdict in common_words.
    monkeypatch.setattr(judging, "build_judge", lambda settings: Scripted({"liberty": 0.3, "honesty": None}))
    with pytest.raises(UserError, match="answers that say yes or no"):
        command(*arguments, tmp_path / "new.parquet")
    (tmp_path / "more.csv").write_text("word,visible\nhonesty,no\n")
    command(*arguments, tmp_path / "new.parquet", [tmp_path / "mine.csv", tmp_path / "more.csv"])
    said = capsys.readouterr().out
    assert "new.parquet: 2 words, 0 visible" in said
    assert "mine.csv: 1 of 2 labels are of words that are not in words.txt" in said
    (tmp_path / "mine.csv").write_text("word,visible\nliberty,no\nliberty,yes\n")
    with pytest.raises(UserError, match=r"mine.csv: 'liberty': found yes and no, expected one label"):
        command(*arguments, tmp_path / "newer.parquet", [tmp_path / "mine.csv"])


class Failing(Scripted):
    """A judge whose model is gone."""

    def __init__(self) -> None:
        super().__init__(says={}, limit=0)


def test_the_audit_of_a_labelled_cascade_names_the_two_judges(tmp_path: Path) -> None:
    cascade = CascadeJudge.model_validate(
        {"judge": "cascade", "second": {"judge": "transformers"}, "unclear": [0, 1], "decides": "both"}
    )
    words = ["boat", "sea", "fog"]
    judges = [Scripted(SAYS, name="embedding"), Scripted(SAYS, name="large")]
    judged = give_verdicts(words, judges, cascade, tmp_path / "a.duckdb")
    labels = pl.DataFrame({"word": ["fog"], "visible": [False]})
    _, sections = audit(with_labels(judged, labels, "mine.csv"), 0.5, AuditSettings())
    [compared] = [section.text for section in sections if section.title == "Two judges"]
    assert compared.startswith("embedding beside embedding + large: 3 of 3 words")


def test_a_missing_table_is_told_by_the_check_of_the_configuration(tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    for key in ("visibility", "audit"):
        changed = {"visibility": {"judge": "embedding", "kept_verdicts": "none.parquet"}}
        changed = changed if key == "visibility" else {"audit": {"judge": changed["visibility"]}}
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(values | changed))
        with pytest.raises(UserError, match=r"visibility.kept_verdicts: found no file 'none.parquet'"):
            check(tmp_path / "c.yaml", probe=False)
    table = tmp_path / "{a}.parquet"
    give_verdicts(WORDS, [Scripted(SAYS)], settings(), tmp_path / "a.duckdb").write_parquet(table)
    changed = {"visibility": {"judge": "embedding", "kept_verdicts": str(table)}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values | changed))
    with pytest.raises(UserError, match="which Snakemake takes for a wildcard"):
        check(tmp_path / "c.yaml", probe=False)


def test_a_run_follows_the_content_of_its_table_and_refuses_its_own(tmp_path: Path) -> None:
    project = Project(tmp_path)
    file, own = tmp_path / "data" / "kept.parquet", "results/small/visibility/visibility.parquet"
    project.config["visibility"] |= {"kept_verdicts": "common_words"}
    project.snakemake("--", own)
    found = pl.read_parquet(tmp_path / own)
    found.with_columns(p_visible=pl.lit(0.75), model=pl.lit("mine")).write_parquet(file)
    os.utime(file, (0, 0))
    project.config["visibility"] |= {"kept_verdicts": str(file)}
    project.snakemake("--", own)
    assert set(pl.read_parquet(tmp_path / own)["model"]) == {"mine"}
    # Another table in its place is older than the verdicts, too.
    found.with_columns(model=pl.lit("another")).write_parquet(file)
    os.utime(file, (0, 0))
    project.snakemake("--", own)
    assert set(pl.read_parquet(tmp_path / own)["model"]) == {"another"}
    project.config["visibility"] |= {"kept_verdicts": str(tmp_path / own)}
    assert "kept_verdicts: found" in project.snakemake("--", own, fails=True)
    assert (tmp_path / own).is_file()


@pytest.fixture(scope="module")
def common() -> pl.DataFrame:
    return read_verdicts(RESOURCES / "verdicts" / "common_words.parquet")


def test_the_kept_table_has_the_verdicts_of_the_large_encoder_and_the_labels(common: pl.DataFrame) -> None:
    assert common["concept"].n_unique() == common.height > 50_000
    encoded = common.filter(judge="embedding")
    kept = EmbeddingCalibration.model_validate_json(
        (RESOURCES / "calibrations" / "embedding" / "all-mpnet-base-v2.json").read_bytes()
    )
    assert set(encoded["model"]) <= set(kept.encoders)
    assert set(encoded["revision"]) == {kept.weights_sha256[:16]}
    assert set(encoded["prompt_hash"]) == {kept.sha256}
    labels = pl.concat(read_labels(file) for file in LABELS)
    joined = labels.join(common, left_on="word", right_on="concept", suffix="_kept")
    assert joined.height == labels.height == common.filter(judge="label").height
    assert (joined["visible"] == joined["visible_kept"]).all()
    for name in ("redcaps", "toyworld"):
        concepts = pl.read_parquet(RESOURCES / "dictionaries" / name / "concepts.parquet")
        assert concepts["concept"].is_in(common["concept"].implode()).all()


@pytest.mark.parametrize(
    ("file", "stated"),
    [
        ("labels", (0.998, 0.975)),
        ("fresh_labels", (0.994, 0.973)),
        ("unseen_labels", (0.996, 0.969)),
        ("blind_labels", (0.984, 0.963)),
        ("all", (0.992, 0.970)),
    ],
)
def test_the_large_encoder_agrees_with_labels_that_nothing_was_fitted_to(
    common: pl.DataFrame, file: str, stated: tuple[float, float]
) -> None:
    labels = pl.concat(read_labels(path) for path in LABELS if file in ("all", path.stem))
    labels = labels.filter(pl.Series([not in_fitted_half(word) for word in labels["word"]]))
    said = labels.join(common, left_on="word", right_on="concept", suffix="_kept", how="left", maintain_order="left")
    visible, p = said["visible"].to_numpy(), said["p_embedding"].to_numpy()
    # Stated in docs/judges.md.
    assert [auc(p, visible), np.mean((p >= 0.5) == visible)] == pytest.approx(stated, abs=0.001)


def test_the_kept_verdicts_agree_with_labels_that_the_table_does_not_have(common: pl.DataFrame) -> None:
    labels = read_labels(ROOT / "tests" / "data" / "words_without_a_kept_label.csv")
    assert not any(map(in_fitted_half, labels["word"]))
    said = labels.join(common, left_on="word", right_on="concept", suffix="_kept", how="left", maintain_order="left")
    assert set(said["judge"]) == {"embedding"}
    visible = said["visible"].to_numpy()
    right = (said["visible_kept"].to_numpy() == visible).mean()
    # Stated in docs/judges.md.
    assert [auc(said["p_visible"].to_numpy(), visible), right] == pytest.approx([0.988, 0.955], abs=0.001)


@pytest.mark.slow
def test_the_large_encoder_says_what_the_kept_table_has(common: pl.DataFrame) -> None:
    model = "sentence-transformers/all-mpnet-base-v2"
    if not in_hub_cache(model):
        pytest.skip(f"{model} is not in the hub's cache")
    rows = common.filter(judge="embedding").gather_every(500)
    encoder = SentenceModel(encoder="sentence_transformers", model=model)
    said = answers(EncodedJudge(EmbeddingJudge(judge="embedding", encoder=encoder)), rows["concept"].to_list())
    assert [said[word] for word in rows["concept"]] == pytest.approx(rows["answer"].cast(pl.Float64), abs=1e-3)
