"""`snakemake benchmark` on a small corpus with a randomly initialised CLIP: meaningless numbers, real plumbing."""

import re
from pathlib import Path

import polars as pl
import pytest

from tests.drawn_photos import drawn_dataset

from .conftest import ROOT
from .project import Project
from .synthetic_clip import draw, masker, random_clip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("benchmark"))
    with (project.folder / "data" / "concepts.txt").open("a") as file:
        file.write("\nbackground")
    clip = random_clip(project.folder / "clip")
    project.config["benchmark"] = {
        "segmenters": {
            "mask": {"method": "maskclip", "backbones": ["toy"]},
            "gem": {"method": "gem", "backbones": ["toy"]},
        },
        "backbones": {"toy": {"model": f"local-dir:{clip}", "pretrained": None, "training_data": "none"}},
        "datasets": {
            "toyworld": {"kind": "toyworld", "images": 6, "seed": 1},
            "train": {"kind": "toyworld", "images": 3, "seed": 2, "tables": False},
        },
        "sets": {
            "own": {"kind": "background", "original": True},
            "ccd": {"kind": "dictionary"},
            "raw": {"kind": "dictionary", "filters": []},
            "random": {"kind": "random", "like": "ccd"},
            "present": {"kind": "image_oracle"},
        },
        "protocol": {"short_side": 64, "long_side": 128, "window": 64, "stride": 32},
        "sweeps": [
            {"threshold": "gamma", "values": [0.01, 0.9], "set": "ccd", "dataset": "train", "segmenters": ["mask"]},
            {"threshold": "beta", "values": [0.2, 1.0], "set": "ccd", "dataset": "train", "segmenters": ["mask"]},
        ],
        "figures": {
            "examples": {"sets": ["own", "ccd"], "maps": ["own", "ccd"], "rows": 2, "segmenters": ["mask", "gem"]}
        },
        "listings": {"toyworld": "raw"},
        "features": "kept",
        "draws": 20,
        "absent": {"min_area": 0.1},
    }
    project.snakemake("benchmark")
    return project


def tables(project: Project) -> Path:
    return project.folder / "results" / "small" / "benchmark"


@pytest.mark.slow
def test_every_cell_has_its_scores(project: Project) -> None:
    scores = pl.read_parquet(tables(project) / "scores.parquet")
    found = set(scores.select("segmenter", "set", "metric").iter_rows())
    assert ("gem", "own", "mIoU") in found
    assert ("mask", "own", "mIoU") not in found
    assert ("mask", "present", "IoU-single") in found
    assert ("mask", "present", "mIoU") not in found
    # MaskCLIP has no own handling: 4 sets; the oracle has no mIoU.
    assert len(found) == (4 + 3) + (5 + 4)
    assert scores["value"].is_between(0, 100).all()
    assert (scores["images"] == 6).all()
    sweeps = pl.read_parquet(tables(project) / "sweeps.parquet")
    assert sweeps.group_by("threshold").len().sort("threshold").rows() == [("beta", 2), ("gamma", 2)]
    numbers = {path.stem.removeprefix("table_") for path in (tables(project) / "tables").glob("*.tex")}
    assert {"1", "2a", "4", "5", "7"} <= numbers
    text = (tables(project) / "summary.md").read_text()
    assert "Paired differences" in text
    assert "## Absent queries" in text
    absent = pl.read_parquet(tables(project) / "absent.parquet")
    assert {"random", "similar"} <= set(absent["absent"])
    assert absent.select("segmenter", "set").n_unique() == 4 + 5
    assert absent["value"].is_between(0, 100).all()
    assert (tables(project) / "absent_differences.parquet").is_file()
    together = pl.read_parquet(tables(project) / "seen_together" / "toyworld.parquet")
    assert ("boat", "water") in set(together.select("query", "other").iter_rows())


SECTIONS = {
    "Dictionary": ["Funnel: from candidates", "Number of contrastive concepts", "Threshold sweeps"],
    "Visibility": ["Audit of the verdicts"],
    "Mining": ["Figure 2a"],
    "Benchmark": ["Table 1", "tables, differences, classes", "Contrastive sets: |CC| and scores", "examples: mask"],
}


@pytest.mark.slow
def test_the_report_shows_every_section_and_loads_nothing(project: Project) -> None:
    project.snakemake()
    project.snakemake("--report", "report.html")
    page = (project.folder / "report.html").read_text(encoding="utf-8")
    for category, labels in SECTIONS.items():
        for text in (f'"{category}"', *labels):
            assert text in page, text
    assert "Mean number of contrastive concepts under other values" in page
    assert re.search(r"\(gamma 0\.01, +delta 0\.8\)", page)
    assert "arXiv 2407.05061" in page
    for rule in ("match_shards", "visibility", "pixel_counts"):
        assert f'"rule": "{rule}"' in page, f"no run time of {rule}"
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']https?:", page)


@pytest.mark.slow
def test_a_second_run_does_nothing_and_a_further_set_is_scored_alone_from_kept_features(project: Project) -> None:
    assert project.planned() == {}
    features = sorted((tables(project) / "features").rglob("*.safetensors"))
    assert [path.parent.name for path in features] == ["toyworld", "toyworld", "train"]
    written = [path.stat().st_mtime_ns for path in features]
    before = pl.read_parquet(tables(project) / "pixels" / "mask" / "toy" / "toyworld" / "counts.parquet")
    project.config["benchmark"]["sets"]["wall"] = {"kind": "list", "concepts": ["wall"]}
    planned = project.planned()
    # The third is of the data set without the set: its job looks at the texts and keeps what it has.
    assert planned["pixel_counts"] == 3
    assert planned["contrastive_sets"] == 1
    assert planned["text_embeddings"] == 1
    assert not {"dictionary", "toy_images", "query_concepts", "match_shards"} & set(planned)
    project.snakemake()
    logs = project.folder / "results" / "small" / "logs"
    said = (logs / "text_embeddings" / "toy" / "imagenet-unit.log").read_text()
    assert "texts, 0 of them new" in said or "texts, 1 of them new" in said
    said = (logs / "pixel_counts" / "mask" / "toy" / "toyworld.log").read_text()
    assert "5 experiments, 1 of them not scored before" in said
    said = (logs / "pixel_counts" / "mask" / "toy" / "train.log").read_text()
    assert "4 experiments, 0 of them not scored before" in said
    after = pl.read_parquet(tables(project) / "pixels" / "mask" / "toy" / "toyworld" / "counts.parquet")
    assert after.filter(pl.col("experiment") != "wall").equals(before)
    assert [path.stat().st_mtime_ns for path in features] == written
    del project.config["benchmark"]["sets"]["wall"]


@pytest.mark.slow
def test_a_missing_data_set_is_one_line_before_any_job(project: Project) -> None:
    datasets = project.config["benchmark"]["datasets"]
    datasets["ade"] = {"kind": "ade20k", "root": "nowhere"}
    said = project.snakemake("benchmark", fails=True)
    assert "config: benchmark.datasets.ade.root: no folder 'data/nowhere' (data_dir is 'data')" in said
    assert "Traceback" not in said
    assert "rule " not in said
    del datasets["ade"]


@pytest.mark.slow
def test_figures_and_listings(project: Project) -> None:
    from PIL import Image

    figures = project.folder / "results" / "small" / "figures"
    # MaskCLIP has no background handling of its own: its picture goes without that set.
    widths = {name: Image.open(figures / "examples" / name / "toy" / "toyworld.png").width for name in ("mask", "gem")}
    assert widths["gem"] > widths["mask"] > 3 * 160
    assert Image.open(figures / "frequencies" / "toyworld.png").width > 100
    listing = (tables(project) / "listings" / "toyworld.md").read_text()
    assert listing.startswith("**Contrastive concepts of toyworld, raw**")
    boat = next(line for line in listing.splitlines() if line.startswith("| boat |"))
    assert "water" in boat
    assert (tables(project) / "listings" / "toyworld.tex").is_file()


def write_heads(folder: Path) -> None:
    """Random heads in the official files' layout, for the toy CLIP's towers."""
    import torch

    shapes = {
        "obj_proj.weight": (256, 128, 3, 3), "obj_proj.bias": (256,),
        "bkg_decoder.weight": (1, 128, 1, 1), "bkg_decoder.bias": (1,),
    }  # fmt: skip
    torch.save({"model": masker(layers=2, embed=128)}, folder / "tcl.pth")
    torch.save({"model_state_dict": {name: draw(name, shape, 1) for name, shape in shapes.items()}}, folder / "last.pt")


@pytest.mark.slow
def test_all_segmenters_on_an_official_layout(project: Project) -> None:
    """The other layouts are read in tests/test_datasets.py."""
    write_heads(project.folder / "data")
    benchmark = project.config["benchmark"]
    benchmark["segmenters"] = {
        "mask": {"method": "maskclip", "backbones": ["toy"]},
        "gem": {"method": "gem", "backbones": ["toy"]},
        "tcl": {"method": "tcl", "backbones": ["toy"], "checkpoint": "tcl.pth", "options": {"refine": True}},
        "dinoiser": {"method": "clip_dinoiser", "backbones": ["toy"], "checkpoint": "last.pt"},
        "sclip": {"method": "sclip", "backbones": ["toy"], "protocol": "original"},
        "clearclip": {"method": "clearclip", "backbones": ["toy"], "options": {"threshold": 0.1}},
        "naclip": {"method": "naclip", "backbones": ["toy"], "options": {"refine": True}},
        "proxy": {
            "method": "proxyclip",
            "backbones": ["toy"],
            "image_model": {"model": "vit_tiny_patch16_224", "pretrained": False},
        },
        "off": {"method": "tcl", "backbones": ["toy"], "enabled": False},
    }
    classes = (ROOT / "resources" / "classes" / "ade20k.txt").read_text().splitlines()
    (project.folder / "data" / "names.txt").write_text("".join(f"{name}, a {name}\n" for name in classes))
    photos = project.folder / "photos"
    drawn_dataset(photos, "ade20k", 2)
    benchmark["datasets"] = {"ade20k": {"kind": "ade20k", "root": str(photos), "images": 2}}
    benchmark["sets"] = {
        "own": {"kind": "background", "original": True},
        "ccd": {"kind": "dictionary"},
        "names": {"kind": "names", "original": True, "files": {"ade20k": "names.txt"}},
        "synonyms": {"kind": "dictionary", "synonyms": {"ade20k": "names.txt"}},
    }
    benchmark |= {"figures": {}, "listings": {}, "sweeps": [], "differences": []}
    project.snakemake("benchmark")
    scores = pl.read_parquet(tables(project) / "scores.parquet").filter(metric="IoU-single")
    for name in ("ccd", "synonyms"):
        assert sorted(scores.filter(set=name)["segmenter"]) == sorted({*benchmark["segmenters"]} - {"off"})
    with_own = {"gem", "tcl", "dinoiser", "sclip", "clearclip", "naclip"}
    assert set(scores.filter(set="own")["segmenter"]) == with_own
    # ADE20K has no background class, so that a query has no negative in the file.
    assert "names" not in set(scores["set"])
    classic = pl.read_parquet(tables(project) / "scores.parquet").filter(metric="mIoU")
    assert set(classic.filter(set="names")["segmenter"]) == with_own
    assert (scores["images"] == 2).all()
    assert scores["value"].is_between(0, 100).all()
    groups = pl.read_parquet(tables(project) / "tables" / "table_7.parquet")["group"]
    assert "ADE20k" in groups.to_list()
