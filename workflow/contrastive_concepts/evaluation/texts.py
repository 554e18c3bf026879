"""Distinct texts and their embeddings, which are computed once and stored on disk between jobs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contrastive_concepts.config.evaluation import BackboneSettings
from contrastive_concepts.config.methods import Mean
from contrastive_concepts.config.selection import BACKGROUND
from contrastive_concepts.config.similarity import OpenClipEncoder, Templates
from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.encoders.text import OpenClipText, TextEncoder
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet
from contrastive_concepts.similarity.ensemble import embed as embed_with
from contrastive_concepts.similarity.store import load_embeddings

Embed = Callable[[Sequence[str]], Embeddings]
"""Texts -> unit vectors float32 [n, D]."""


@dataclass(frozen=True)
class TextRows:
    """Texts and their embeddings, float32 [n, D], row by row."""

    row: Mapping[str, int]
    matrix: Embeddings

    def select(self, texts: Sequence[str]) -> Embeddings:
        return self.matrix[[self.row[text] for text in texts]]

    def with_rows(self, others: "TextRows") -> "TextRows":
        """Add the texts of others that this one does not have."""
        new = [text for text in others.row if text not in self.row]
        matrix = np.concatenate([self.matrix, others.select(new)])
        return TextRows({text: row for row, text in enumerate([*self.row, *new])}, matrix)

    def save(self, path: Path, fingerprint: str = "") -> None:
        import polars as pl

        columns = {"text": list(self.row), "vector": self.matrix}
        table = pl.DataFrame(columns, {"text": pl.String, "vector": pl.Array(pl.Float32, self.matrix.shape[1])})
        table.write_parquet(path, metadata={"fingerprint": fingerprint})


def embed_once(texts: Iterable[str], embed: Embed | None, known: TextRows | None = None) -> TextRows:
    """Embed the distinct texts that are not in `known`. The result has one row per distinct text, in order."""
    distinct = list(dict.fromkeys(texts))
    row = known.row if known is not None else {}
    new = [text for text in distinct if text not in row]
    fresh = None
    if new or known is None:
        assert embed is not None
        fresh = np.asarray(embed(new), np.float32)
    if known is not None:
        parts = [known.matrix] if fresh is None else [known.matrix, fresh]
        row = {**known.row, **{text: len(known.row) + index for index, text in enumerate(new)}}
        fresh = np.concatenate(parts)[[row[text] for text in distinct]]
    assert fresh is not None
    return TextRows({text: index for index, text in enumerate(distinct)}, fresh)


def load_texts(path: Path) -> TextRows:
    """Read a file that `TextRows.save` wrote. Raises UserError if it cannot be read."""
    import polars as pl

    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path}: cannot be read as text embeddings ({one_line(error)})") from None
    texts = table["text"].to_list()
    return TextRows({text: index for index, text in enumerate(texts)}, table["vector"].to_numpy().copy())


def text_side(
    templates: Templates, mean: Mean, backbone: BackboneSettings, device: str = "cpu"
) -> tuple[Callable[[Sequence[str]], Embeddings], TextEncoder]:
    """A function texts -> unit vectors, and the encoder behind it. templates, mean: see `SegmenterSettings`."""
    encoder = OpenClipText(
        OpenClipEncoder(encoder="open_clip", model=backbone.model, pretrained=backbone.pretrained, device=device)
    )
    return lambda texts: embed_with(texts, encoder, templates, mean=mean), encoder


def benchmark_texts(queries: Sequence[str], sets: Sequence[ContrastiveSet]) -> list[str]:
    """All distinct texts that the queries and sets can need, "background" first."""
    concepts = (
        text for each in sets for texts in (each.names, each.concepts) for listed in texts.values() for text in listed
    )
    return list(dict.fromkeys([BACKGROUND, *queries, *concepts]))


def update_texts(
    path: Path, texts: Sequence[str], embed: Embed | None, fingerprint: str, further: TextRows | None = None
) -> int:
    """Write the embeddings of `texts`. Embeddings in the file with the same fingerprint (model, prompts, code) are
    reused, and then those in `further`. embed: None if these are all. Returns the number of new ones."""
    known = load_texts(path) if path.is_file() and read_fingerprint(path) == fingerprint else None
    if known is not None and further is not None:
        known = known.with_rows(further)
    known = known or further
    rows = embed_once(texts, embed, known)
    rows.save(path, fingerprint)
    return len([text for text in rows.row if known is None or text not in known.row])


def concept_rows(concepts: Path, vectors: Path) -> TextRows:
    """The embeddings that the similarity stage made of the vocabulary."""
    import polars as pl

    names = pl.read_parquet(concepts)["concept"].to_list()
    return TextRows({name: row for row, name in enumerate(names)}, load_embeddings(vectors))


def read_fingerprint(path: Path) -> str | None:
    """The fingerprint of a file that `TextRows.save` wrote, None for any other file."""
    import polars as pl

    try:
        return pl.read_parquet_metadata(path).get("fingerprint")
    except (OSError, pl.exceptions.PolarsError):
        return None
