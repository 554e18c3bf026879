"""X from an inverted index, concept -> caption numbers, without captions (the paper's source, its reference 62)."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import polars as pl
from scipy import sparse

from contrastive_concepts.captions.concept_index import Numbers
from contrastive_concepts.vocabulary.concepts import merged_into


def count_index(
    index: pl.DataFrame, numbers: Numbers, concepts: pl.DataFrame, mode: Literal["bag", "phrase"], block_captions: int
) -> sparse.csr_array:
    """X over the concepts of the vocabulary. If index entries were merged into one concept, a caption counts once.

    `index` and `numbers` are the results of `captions.concept_index.read_index`. Captions are counted in blocks of
    `block_captions` numbers to bound the memory.
    """
    size = concepts.height
    rows = merged_into(index["concept"].to_list(), concepts, mode)
    lists = [
        (row, numbers[start:stop])
        for row, (start, stop) in zip(rows, index.select("start", "stop").iter_rows(), strict=True)
        if row is not None and stop > start
    ]
    total = sparse.csr_array((size, size), dtype=np.int64)
    for first in _blocks([captions for _, captions in lists], block_captions):
        incidence = _incidence(lists, first, block_captions, size)
        total = total + incidence @ incidence.T
    total.sort_indices()
    return total


def _blocks(lists: Sequence[Numbers], block: int) -> Iterator[int]:
    if lists:
        first = min(int(captions[0]) for captions in lists) // block * block
        yield from range(first, max(int(captions[-1]) for captions in lists) + 1, block)


def _incidence(lists: Sequence[tuple[int, Numbers]], first: int, block: int, size: int) -> sparse.csr_array:
    rows, columns = [], []
    for row, captions in lists:
        low, high = np.searchsorted(captions, [first, first + block])
        columns.append(np.asarray(captions[low:high]) - first)
        rows.append(np.full(high - low, row, np.int64))
    coordinates = np.concatenate(rows), np.concatenate(columns)
    incidence = sparse.csr_array((np.ones(len(coordinates[0]), np.int64), coordinates), shape=(size, block))
    # Two names of one concept can list the same caption.
    incidence.sum_duplicates()
    incidence.data[:] = 1
    return incidence
