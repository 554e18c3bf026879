"""A dictionary of contrastive concepts, read with numpy, pyarrow and faiss alone.

from contrastive import Dictionary
dictionary = Dictionary()
["boat", *dictionary["boat"]]           # the texts for a segmenter: keep the pixels of the first
dictionary.nearest(vectors)             # unit vectors [n, d] of other texts, by the encoder in manifest.json
"""

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow.parquet as pq


class Dictionary:
    """Concept -> contrastive concepts, the most frequent first, "background" before them."""

    def __init__(self, folder: str | Path = Path(__file__).parent, background: bool = True) -> None:
        folder = Path(folder)
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.names: list[str] = pq.ParquetFile(folder / "concepts.parquet").read(["concept"])[0].to_pylist()
        self.lists: dict[str, list[str]] = {name: ["background"] if background else [] for name in self.names}
        columns = ["concept", "contrastive_concept"]
        pairs = pq.ParquetFile(folder / "contrastive_concepts.parquet").read(columns)
        for concept, text in zip(*(pairs[each].to_pylist() for each in columns), strict=True):
            if text not in self.lists[concept]:
                self.lists[concept].append(text)
        self.index = faiss.read_index(str(folder / "concepts.faiss"))

    def __getitem__(self, concept: str) -> list[str]:
        return [text for text in self.lists[concept] if text != concept]

    def nearest(self, vectors: "np.ndarray[Any, np.dtype[np.float32]]") -> list[tuple[str, float]]:
        """The concept nearest to each vector, and their cosine."""
        cosines, rows = self.index.search(np.ascontiguousarray(vectors, np.float32), 1)
        return [(self.names[row], float(cosine)) for row, cosine in zip(rows[:, 0], cosines[:, 0], strict=True)]
