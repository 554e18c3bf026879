"""Makes the inputs of a measurement: shards of any size, drawn from real captions, and vocabularies of any size."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contrastive_concepts.captions.formats import detect_format, find_column, read_captions
from contrastive_concepts.vocabulary.concepts import merge_names
from contrastive_concepts.vocabulary.words import words


def read_pool(paths: Sequence[Path]) -> pa.Array:
    """All captions in the given files, in order, without nulls."""
    chunks = []
    for path in map(str, paths):
        layout = detect_format(path)
        chunks += [
            batch.cast(pa.large_binary()) for batch in read_captions(path, layout, find_column(path, layout, None))
        ]
    return pa.concat_arrays(chunks).drop_null()


class Draw:
    """Draws captions from a pool with replacement, with the lengths of other given captions."""

    def __init__(self, pool: pa.Array, like: pa.Array) -> None:
        lengths = pc.binary_length(pool).to_numpy()
        order = np.argsort(lengths, kind="stable")
        wanted = pc.binary_length(like).to_numpy()
        self.pool = pool.take(pa.array(order))
        self.firsts = np.searchsorted(lengths[order], wanted, "left")
        # If the pool has no caption of that length, use the next longer one, or the longest.
        self.firsts = np.minimum(self.firsts, len(pool) - 1)
        self.lasts = np.maximum(np.searchsorted(lengths[order], wanted, "right"), self.firsts + 1)
        self.mean_bytes = float(lengths[order][self.firsts].mean())

    def captions(self, rows: int, generator: np.random.Generator) -> pa.Array:
        drawn = generator.integers(0, len(self.firsts), rows)
        return self.pool.take(pa.array(generator.integers(self.firsts[drawn], self.lasts[drawn])))


def write_shards(folder: Path, draw: Draw, shards: int, rows: int, seed: int = 0) -> list[Path]:
    """Write shards of `rows` captions each, as parquet (zstd) with a column TEXT."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"part-{number:04d}.parquet" for number in range(shards)]
    for path in paths:
        captions = draw.captions(rows, generator).cast(pa.large_string(), safe=False)
        pq.write_table(pa.table({"TEXT": captions}), path, compression="zstd")
    return paths


def vocabularies(small: Sequence[str], large: Sequence[str], pool: pa.Array, sizes: Sequence[int]) -> list[list[str]]:
    """Concept lists of about these sizes: from `small` (evenly spaced), else `large`, else with words of the pool.

    Names with the same words are merged, so that a list can be slightly shorter than requested.
    """
    frequent: list[str] = []
    if max(sizes) > len(small) + len(large):
        counted: Counter[str] = Counter()
        for caption in pool:
            counted.update(words(caption.as_py()))
        frequent = [word for word, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]
    concepts = []
    for size in sizes:
        if size <= len(small):
            names = [small[place * len(small) // size] for place in range(size)]
        else:
            names = (
                list(dict.fromkeys([*large, *small, *frequent]))[:size] if size > len(large) else list(large)[-size:]
            )
        concepts.append(merge_names(names, "bag")[0]["concept"].to_list())
    return concepts
