"""The workflow itself, on a small corpus: what runs, what runs again, and what a mistake in the config says."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from contrastive_concepts.cli.main import main
from contrastive_concepts.cooccurrence.matrix import load_matrix
from contrastive_concepts.matching.counting import mentions
from contrastive_concepts.matching.lexicon import Lexicon
from contrastive_concepts.vocabulary.lemmas import concept_key

from .project import CAPTIONS, CONCEPTS, Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("project"))
    project.snakemake()
    return project


def test_captions_become_a_dictionary(project: Project) -> None:
    dictionary = project.dictionary
    assert {"water", "sky"} <= set(dictionary["boat"])
    assert "photo" not in dictionary["boat"]
    assert "ship" in dictionary["water"]
    counts = dict(
        pl.read_parquet(project.folder / "results/small/cooccurrence/concepts.parquet")
        .select("concept", "count")
        .iter_rows()
    )
    assert counts["boat"] == 3 * 6
    assert counts["dog"] == 3 * 6
    statistics = dictionary.manifest.captions
    assert (statistics["rows"], statistics["null"], statistics["empty"]) == (6 * 8, 6, 6)
    assert len(dictionary.manifest.shards) == 3


@pytest.mark.slow
def test_one_encoder_that_judges_and_measures_is_loaded_in_one_job(project: Project, tmp_path: Path) -> None:
    together = Project(tmp_path)
    together.config["visibility"]["encoder"]["device"] = "auto"
    together.config["audit"] = {"judge": {"judge": "embedding", "threshold": 0.9}}
    planned = together.planned()
    assert planned["visibility"] == 1
    assert "embeddings" not in planned
    together.snakemake("all", "audit")
    results = together.folder / "results" / "small"
    for file in ("similarity/embeddings.npy", "similarity/encoder.json", "visibility/visibility.parquet"):
        assert (results / file).read_bytes() == (project.folder / "results" / "small" / file).read_bytes()
    assert "## Where the judges differ" in (results / "visibility" / "audit.md").read_text()
    assert together.planned() == {}


def test_a_second_run_does_nothing(project: Project) -> None:
    assert project.planned() == {}


@pytest.mark.slow
def test_a_changed_shard_redoes_itself_and_what_follows(project: Project) -> None:
    project.write_shard(1, ("a ship under the sky",))
    kept = {path: path.stat().st_mtime_ns for path in project.folder.glob("results/small/cooccurrence/shards/*.npz")}
    planned = project.planned()
    assert planned["match_shards"] == 1
    assert {"manifest", "cooccurrence", "selection", "dictionary"} <= set(planned)
    assert not {"vocabulary", "lexicon", "visibility", "embeddings"} & set(planned)
    project.snakemake()
    assert [path.name[:6] for path, time in kept.items() if path.stat().st_mtime_ns != time] == ["part-1"]
    assert project.planned() == {}
    assert project.dictionary.manifest.captions["rows"] == 6 * 8 + 1
    project.write_shard(1)
    project.snakemake()
    assert project.dictionary.manifest.captions["rows"] == 6 * 8


@pytest.mark.slow
def test_another_delta_redoes_neither_matching_nor_the_judge(project: Project) -> None:
    project.config["selection"] = {"delta": 0.5}
    planned = project.planned()
    assert set(planned) == {"selection", "dictionary", "figures", "all"}
    project.snakemake()
    assert "sky" in project.dictionary["dog"]
    assert "ship" not in project.dictionary["boat"]
    del project.config["selection"]
    project.snakemake()


def test_another_gamma_asks_nobody(project: Project) -> None:
    project.config["selection"] = {"gamma": 0.9}
    planned = project.planned()
    del project.config["selection"]
    assert set(planned) == {"selection", "dictionary", "figures", "all"}


def test_a_new_shard_costs_one_shard(project: Project) -> None:
    project.write_shard(3)
    planned = project.planned()
    (project.folder / "data" / "part-3.parquet").unlink()
    assert planned["match_shards"] == 1
    assert "visibility" not in planned


def test_both_entry_points_run_the_same(project: Project) -> None:
    assert "Nothing to be done" in project.snakemake("--dry-run", snakefile="workflow/Snakefile")


@pytest.mark.slow
def test_the_papers_own_source_gives_the_same_matrix(project: Project) -> None:
    numbers: dict[str, list[int]] = {concept: [] for concept in CONCEPTS}
    captions = [caption for shard in range(3) for caption in CAPTIONS * (shard + 1)]
    lexicon = Lexicon.build(CONCEPTS)
    starts, met = mentions(pa.array(captions, pa.string()), lexicon)
    for caption in range(len(captions)):
        for concept in met[starts[caption] : starts[caption + 1]]:
            numbers[CONCEPTS[concept]].append(caption)
    # The public files name the first caption of each concept twice.
    index = {concept: captions[:1] + captions for concept, captions in numbers.items()}
    (project.folder / "data" / "index.json").write_text(json.dumps(index))
    from_captions = project.config
    project.config = from_captions | {
        "run": "indexed",
        "captions": {"source": "concept_index", "index": "index.json"},
        "vocabulary": {"source": "index"},
    }
    try:
        project.snakemake()
    finally:
        project.config = from_captions
    results = project.folder / "results"
    matrices = [
        load_matrix(results / run / "cooccurrence" / "cooccurrence.npz").toarray() for run in ("small", "indexed")
    ]
    assert (matrices[0] == matrices[1]).all()
    lists = [json.loads((results / run / "dictionary" / "dictionary.json").read_text()) for run in ("small", "indexed")]
    assert lists[0] == lists[1]


@pytest.mark.slow
def test_unigram_pickles_give_the_same_matrix(project: Project) -> None:
    words = sorted({word for concept in CONCEPTS for word in concept_key(concept)})
    captions = [caption for shard in range(3) for caption in CAPTIONS * (shard + 1)]
    starts, met = mentions(pa.array(captions, pa.string()), Lexicon.build(words))
    lists: dict[str, list[int]] = {word: [] for word in words}
    for caption in range(len(captions)):
        for word in met[starts[caption] : starts[caption + 1]]:
            lists[words[word]].append(caption)
    data = project.folder / "data"
    for number in range(2):
        shard = {word: lists[word][:1] + lists[word] for word in words[number::2]}
        (data / f"x_combined_unigram_dict_{number}.pkl").write_bytes(pickle.dumps(shard))
    places = {word: place % 2 for place, word in enumerate(words)}
    (data / "x_unigram_to_shard_mapping.pkl").write_bytes(pickle.dumps(places))
    from_captions = project.config
    source = {"source": "concept_index", "index": "x_unigram_to_shard_mapping.pkl"}
    project.config = from_captions | {"run": "unigrams", "captions": source}
    try:
        project.snakemake("results/unigrams/cooccurrence/cooccurrence.npz")
        project.config = project.config | {"vocabulary": {"source": "index"}}
        refused = project.snakemake("--dry-run", fails=True)
    finally:
        project.config = from_captions
    matrices = [
        load_matrix(project.folder / "results" / run / "cooccurrence" / "cooccurrence.npz").toarray()
        for run in ("small", "unigrams")
    ]
    assert (matrices[0] == matrices[1]).all()
    assert "vocabulary.source: found 'index', expected 'given'" in refused


@pytest.mark.slow
def test_a_release_enters_as_x(project: Project) -> None:
    matrix = load_matrix(project.folder / "results" / "small" / "cooccurrence" / "cooccurrence.npz").toarray()
    names = pl.read_parquet(project.folder / "results" / "small" / "vocabulary" / "concepts.parquet")[
        "concept"
    ].to_list()
    content = {"concept_names": names, "cooc_mat": matrix.astype(float), "clip_embeds": np.eye(len(names))}
    (project.folder / "data" / "release.pkl").write_bytes(pickle.dumps(content))
    from_captions = project.config
    project.config = from_captions | {
        "run": "released",
        "captions": {"source": "release", "release": "release.pkl"},
        "vocabulary": {"source": "index"},
    }
    try:
        project.snakemake()
    finally:
        project.config = from_captions
    lists = [
        json.loads((project.folder / "results" / run / "dictionary" / "dictionary.json").read_text())
        for run in ("small", "released")
    ]
    assert lists[0] == lists[1]


def test_mistakes_in_the_config_are_one_line_before_any_job(project: Project) -> None:
    for options, message in (
        (["--config", "selection={gama: 0.5}"], "config: selection.gama: unknown key, did you mean gamma?"),
        (
            ["--config", "selection={gamma: 1.5}"],
            "config: selection.gamma: found '1.5', expected less than or equal to 1",
        ),
        (["--config", "data_dir=nowhere"], "config: vocabulary.path: no file 'nowhere/concepts.txt'"),
        (
            ["--config", "captions={shards: [nothing.parquet]}"],
            "config: captions.shards: 'nothing.parquet' names no file",
        ),
    ):
        output = project.snakemake("--dry-run", *options, fails=True)
        assert message in output
        assert "Traceback" not in output


def test_a_broken_shard_fails_by_name_or_is_skipped_and_reported(project: Project) -> None:
    broken = project.folder / "data" / "part-9.parquet"
    broken.write_bytes(b"PAR1 and then nothing")
    output = project.snakemake("--until", "match_shards", fails=True)
    assert "part-9.parquet: not a readable parquet file" in output
    project.config["captions"] = {"source": "shards", "shards": ["*.parquet"], "on_bad_shard": "skip"}
    project.snakemake("--until", "cooccurrence", "manifest")
    manifest = pl.read_parquet(project.folder / "results/small/captions/manifest.parquet")
    assert (
        "not a readable parquet file"
        in manifest.filter(pl.col("path").str.ends_with("part-9.parquet"))["skipped"].item()
    )
    counts = dict(
        pl.read_parquet(project.folder / "results/small/cooccurrence/concepts.parquet")
        .select("concept", "count")
        .iter_rows()
    )
    assert counts["boat"] == 3 * 6
    broken.unlink()
    project.config["captions"] = {"source": "shards", "shards": ["*.parquet"]}


def test_the_command_line_answers(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(project.folder / "results/small/dictionary")

    def ask(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["contrastive-concepts", "query", folder, *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return said.out if not ended.value.code else str(ended.value.code)

    assert ask("boat").startswith("boat\n    background, ")
    assert '"concept": "dog"' in ask("puppy", "--json")
    assert ask("boat", "dog", "--union").startswith("background, ")
    for text, message in (("", "query 1: found an empty text"), ("x" * 5000, "query 1: found 5000 characters")):
        refused = ask(text)
        assert message in refused
        assert len(refused.splitlines()) == 1
    # As a process of its own.
    command = [sys.executable, "-m", "contrastive_concepts", "query", folder, ""]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert refused.returncode == 1
    assert refused.stderr == "Error: query 1: found an empty text, expected the name of a concept\n"
