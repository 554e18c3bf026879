"""A configuration that switches a variant leaves nothing of the default one, and no wrong key unseen."""

import codecs
from pathlib import Path

import polars as pl
import pytest

from contrastive_concepts.config.layers import without_other_variants
from contrastive_concepts.config.load import parse_config
from contrastive_concepts.errors import UserError

from .conftest import ROOT
from .snakemake_server import snakemake

DEFAULT = {
    "run": "a",
    "captions": {"source": "toyworld", "captions": 9},
    "vocabulary": {"source": "mined", "size": 3},
    "visibility": {"judge": "transformers", "batch_size": 8, "threshold": 0.4},
    "similarity": {"encoder": "open_clip", "pretrained": None},
    "benchmark": {"datasets": {"d": {"kind": "toyworld", "seed": 3}}},
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("captions", {"source": "shards", "shards": ["*.tsv"]}),
        ("vocabulary", {"source": "given", "path": "v.txt"}),
        ("visibility", {"judge": "openai", "url": "http://x/v1"}),
        ("similarity", {"encoder": "sentence_transformers", "model": "x"}),
    ],
)
def test_another_variant_leaves_nothing_of_the_default_one(key: str, value: dict) -> None:
    merged = {**DEFAULT, key: DEFAULT[key] | value}
    with pytest.raises(UserError, match="unknown key"):
        parse_config(merged)
    resolved = without_other_variants(merged, [DEFAULT, {key: value}])
    assert resolved == {**DEFAULT, key: value}
    parse_config(resolved)
    wrong = value | {"sise": 3}
    with pytest.raises(UserError, match=f"{key}.sise: unknown key"):
        parse_config(without_other_variants({**DEFAULT, key: DEFAULT[key] | wrong}, [DEFAULT, {key: wrong}]))


def test_single_keys_are_still_laid_over_the_default() -> None:
    over = {"vocabulary": {"source": "mined", "min_count": 2}, "benchmark": {"datasets": {"d": {"seed": 4}}}}
    merged = {**DEFAULT, "vocabulary": DEFAULT["vocabulary"] | over["vocabulary"], "benchmark": {"datasets": {"d": {"kind": "toyworld", "seed": 4}}}}  # fmt: skip
    assert without_other_variants(merged, [DEFAULT, over]) == merged


def test_a_key_of_a_nested_section_switches_only_that_section() -> None:
    below = {"judge": "embedding", "threshold": 0.4, "encoder": {"encoder": "sentence_transformers", "model": "m"}}
    default = {**DEFAULT, "visibility": below}

    def laid(over: dict) -> dict:
        merged = {**below, **over, "encoder": below["encoder"] | over.get("encoder", {})}
        return without_other_variants({**default, "visibility": merged}, [default, {"visibility": over}])["visibility"]

    assert laid({"encoder": {"batch_size": 8}}) == below | {"encoder": below["encoder"] | {"batch_size": 8}}
    other = {"encoder": "open_clip", "pretrained": None}
    assert laid({"encoder": other}) == below | {"encoder": other}
    assert laid({"judge": "transformers"}) == {"judge": "transformers"}


@pytest.mark.slow
def test_another_source_on_the_command_line_runs_through_both_entry_points(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(codecs.BOM_UTF8 + b"boat\r\ndog\r\n")
    (tmp_path / "config").symlink_to(ROOT / "config")
    for number, snakefile in enumerate(("Snakefile", "workflow/Snakefile")):
        wanted = "results/toy/vocabulary/concepts.parquet"
        options = ["--snakefile", str(ROOT / snakefile), "--cores", "1", "--forceall"]
        options += ["--config", "vocabulary={source: given, path: v.txt}", f"answers=a{number}.duckdb", "--", wanted]
        status, said = snakemake(options, tmp_path)
        assert status == 0, said[-2000:]
        assert pl.read_parquet(tmp_path / wanted)["concept"].to_list() == ["boat", "dog"]
        (tmp_path / wanted).unlink()
