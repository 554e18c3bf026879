"""Inputs for measurements of mining: sizes, captions, vocabularies and lexicons."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from benchmarks.corpora import Draw, read_pool, vocabularies, write_shards
from contrastive_concepts.matching.lexicon import Lexicon
from contrastive_concepts.matching.nouns import Nouns


@dataclass(frozen=True)
class Sizes:
    """The sizes of the measurements."""

    speed_shards: int = 4
    speed_rows: int = 2_000_000
    repeats: int = 5
    others_rows: int = 2_000_000
    growth: tuple[int, ...] = (1, 4, 16, 64)
    growth_rows: int = 250_000
    largest_vocabulary: int = 100_000
    vocabulary_rows: int = 2_000_000
    agreement_captions: int = 5_000
    corpus_shards: int = 16
    corpus_rows: int = 2_500_000
    dictionary: int = 100_000
    queries: int = 10_000
    embedded: int = 8
    tower: str = "ViT-B-16"


QUICK = Sizes(
    speed_shards=2,
    speed_rows=20_000,
    repeats=1,
    others_rows=5_000,
    growth=(1, 2),
    growth_rows=20_000,
    largest_vocabulary=6_000,
    vocabulary_rows=20_000,
    agreement_captions=50,
    corpus_shards=2,
    corpus_rows=20_000,
    dictionary=1_000,
    queries=100,
    embedded=2,
    tower="RN50",
)


class Bench:
    """The inputs of all parts. Files that a part writes are below `folder` and are removed after it."""

    def __init__(
        self,
        folder: Path,
        captions: Sequence[Path],
        unseen: Sequence[Path],
        small: Sequence[str],
        large: Sequence[str],
        sizes: Sizes,
    ) -> None:
        self.folder, self.unseen, self.sizes = folder, unseen, sizes
        self.small, self.large = small, large
        self.pool = read_pool(captions)
        self.draw = Draw(self.pool, read_pool(captions[:1]))
        self.corpus = f"drawn from {len(self.pool):,} real captions, as long as those of `{captions[0].name}` "
        self.corpus += f"({self.draw.mean_bytes:.0f} bytes on average)"
        self.concepts = vocabularies(small, large, self.pool, [len(small)])[0]

    def lexicon(self, concepts: Sequence[str], nouns: Nouns) -> Path:
        path = self.folder / f"lexicon-{len(concepts)}-{nouns}.npz"
        if not path.exists():
            Lexicon.build(concepts, nouns=nouns).save(path)
        return path

    def shards(self, shards: int, rows: int) -> list[Path]:
        rmtree(self.folder / "shards", ignore_errors=True)
        return write_shards(self.folder / "shards", self.draw, shards, rows)
