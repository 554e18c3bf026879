"""Configurations: what is shipped is valid and in step with the models; what is wrong is named."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from contrastive_concepts.config.load import parse_config, read_config
from contrastive_concepts.config.reference import reference
from contrastive_concepts.config.render import leading_comment, render_config, schema_json
from contrastive_concepts.errors import UserError
from tests.helpers import VALID

from .conftest import ROOT

SHIPPED = sorted((ROOT / "config").glob("*.yaml"))


def changed(key: str, value: Any) -> dict[str, Any]:
    config = json.loads(json.dumps(VALID))
    *sections, last = key.split(".")
    place = config
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
    return config


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_configs_are_what_the_models_say(path: Path) -> None:
    text = path.read_text()
    complete = path.name == "config.yaml"
    assert render_config(read_config(path), leading_comment(text), complete) == text


def test_the_schema_is_what_the_models_say() -> None:
    assert (ROOT / "config" / "schema.json").read_text() == schema_json()


def test_the_papers_setting() -> None:
    settings = read_config(ROOT / "config" / "laion400m.yaml")
    selection = settings.selection
    assert (selection.gamma, selection.delta, selection.beta) == (0.01, 0.8, 0.9)
    assert selection.stoplist == ["image", "photo", "picture", "view"]
    assert settings.similarity.model_dump(include={"model", "pretrained", "templates"}) == {
        "model": "ViT-B-16",
        "pretrained": "laion2b_s34b_b88k",
        "templates": "imagenet",
    }
    assert settings.visibility.model_dump()["model"] == "mistralai/Mixtral-8x7B-Instruct-v0.1"


def test_the_reference_is_what_the_models_say() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == reference()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("selection.gamma", 1.5, "config: selection.gamma: found 1.5, expected less than or equal to 1"),
        ("selection.delta", -0.1, "config: selection.delta: found -0.1, expected greater than or equal to 0"),
        ("selection.beta", "high", "config: selection.beta: found 'high', expected a valid number"),
        ("selection.gama", 0.1, "config: selection.gama: unknown key, did you mean gamma?"),
        ("captions.colum", "x", "config: captions.colum: unknown key, did you mean column?"),
        ("captions.shards", "a.parquet", "config: captions.shards: found 'a.parquet', expected a valid list"),
        (
            "captions.max_caption_bytes",
            0,
            "config: captions.max_caption_bytes: found 0, expected greater than or equal to 1",
        ),
        ("captions.deduplicate", "maybe", "config: captions.deduplicate: found 'maybe', expected a valid boolean"),
        ("visibilty", {}, "config: visibilty: unknown key, did you mean visibility?"),
        ("run", "../x", "config: run: found '../x', expected"),
        (
            "selection.gamma",
            {"other": 0.1},
            "config: selection.gamma: found corpora ['other'], expected one named 'corpus'",
        ),
        ("selection.gamma", {"corpus": {}}, "config: selection.gamma.corpus: found {}, expected a valid number"),
        ("vocabulary", {"source": "index"}, "config: vocabulary.source: found 'index'"),
        ("vocabulary", {"source": "magic"}, "config: vocabulary: found"),
        (
            "similarity",
            {"encoder": "open_clip", "model": 3},
            "config: similarity.model: found 3, expected a valid string",
        ),
    ],
)
def test_a_wrong_key_is_named_in_one_line(key: str, value: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_config(changed(key, value))
    lines = str(caught.value).splitlines()
    assert any(line.startswith(message) for line in lines), lines
    assert all(line.startswith("config: ") for line in lines)


def test_a_missing_key_is_named() -> None:
    without = {key: value for key, value in VALID.items() if key != "captions"}
    with pytest.raises(UserError, match="config: captions: missing"):
        parse_config(without)


def test_numbers_given_as_text_on_the_command_line_are_numbers() -> None:
    settings = parse_config(changed("selection.gamma", "0.02"))
    assert settings.selection.gamma == 0.02
    assert parse_config(changed("captions.deduplicate", "true")).captions.model_dump()["deduplicate"] is True


def test_gamma_may_be_given_for_each_corpus() -> None:
    settings = parse_config(changed("selection.gamma", {"corpus": 0.02, "other": 0.5}))
    assert settings.selection.gamma_for("corpus") == 0.02


def test_a_file_that_is_no_config(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for text, message in (("- a", "expected keys and values"), ("a: [", "not valid YAML")):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            read_config(path)
    with pytest.raises(UserError, match="not found, expected a configuration"):
        read_config(tmp_path / "none.yaml")


def test_dumped_settings_are_a_config_again() -> None:
    settings = parse_config(VALID)
    assert parse_config(yaml.safe_load(yaml.safe_dump(settings.model_dump()))) == settings


@pytest.mark.parametrize(
    ("section", "line"),
    [
        (
            {"vocabulary": {"source": "mind"}},
            "config: vocabulary: found source 'mind', expected one of given, mined, index",
        ),
        (
            {"visibility": {"juge": "transformers"}},
            "config: visibility: missing 'judge', found 'juge', did you mean judge?",
        ),
        ({"visibility": {}}, "config: visibility: missing 'judge'"),
        (
            {"benchmark": {"sets": {"a": {"kind": "lst"}}}},
            "config: benchmark.sets.a: found kind 'lst', expected one of none, background, dictionary, cc_text, names, list, "
            "oracle, image_oracle, random, pseudo, empty, background_words, boosted_background, vocabulary",
        ),
    ],
)
def test_the_kind_of_a_section_is_told_by_its_own_key(section: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_config(VALID | section)
    assert line in str(caught.value).splitlines()


@pytest.mark.parametrize(
    "wanted",
    [
        {"writing": {"class_lists": {"voc": "voc.txt"}}},
        {"selection": {"remove_parts": True}},
        {"benchmark": {"sets": {"no_parts": {"kind": "dictionary", "remove_parts": True}}}},
    ],
)
def test_what_a_language_model_must_write_needs_one_before_any_job(wanted: dict[str, Any]) -> None:
    config = {**VALID, "visibility": {"judge": "embedding"}, **wanted}
    with pytest.raises(UserError, match=r"writing.model: found null and the judge 'embedding', expected a language"):
        parse_config(config)
    config["writing"] = {**wanted.get("writing", {}), "model": {"judge": "transformers"}}
    assert parse_config(config).writer.judge == "transformers"
    cascade = {"judge": "cascade", "second": {"judge": "transformers"}}
    assert parse_config({**VALID, "visibility": cascade, **wanted}).writer.judge == "transformers"
