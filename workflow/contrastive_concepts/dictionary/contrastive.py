"""Loads a dictionary of contrastive concepts and answers queries (paper 3.4, 3.6)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from contrastive_concepts.config.selection import BACKGROUND, BETA, CONTEXT, TYPES
from contrastive_concepts.config.similarity import FURTHER
from contrastive_concepts.dictionary.index import on_gpu, read_index
from contrastive_concepts.dictionary.manifest import Manifest, check_files, read_manifest
from contrastive_concepts.encoders import unknown_words
from contrastive_concepts.errors import UserError
from contrastive_concepts.resources import RESOURCES
from contrastive_concepts.selection.union import far_from_queries

if TYPE_CHECKING:
    import faiss

    from contrastive_concepts.encoders import Embeddings
    from contrastive_concepts.encoders.text import TextEncoder

MAX_QUERY_CHARACTERS = 300
PUBLISHED = "redcaps"
"""The dictionary of the project that is used where none is named."""


@dataclass(frozen=True)
class Match:
    """The concept that a query was mapped to. `similarity` is the cosine of the two, 1 for an exact name.

    far: three quarters of the dictionary's concepts are closer to their nearest neighbour than the query to its match,
    or the encoder does not know one of its words, `unknown`: the match then says nothing.
    """

    query: str
    concept: str
    similarity: float
    far: bool
    contrastive_concepts: list[str]
    unknown: tuple[str, ...] = ()

    @property
    def remark(self) -> str:
        """How far the match can be trusted, in words."""
        if self.unknown:
            return f"the encoder does not know {', '.join(map(repr, self.unknown))}"
        return f"similarity {self.similarity:.2f}{', far from every concept' if self.far else ''}"


class ContrastiveConcepts(Mapping[str, list[str]]):
    """CC^D: concept -> contrastive concepts, the most frequent first. Other texts are mapped to the nearest concept."""

    def __init__(
        self, folder: Path, manifest: Manifest, background: bool = True, encoder: "TextEncoder | None" = None
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.background = background
        self._given_encoder = encoder
        self._names: list[str] = pq.ParquetFile(folder / "concepts.parquet").read(["concept"])[0].to_pylist()
        self._lists: dict[str, list[str]] = {name: [] for name in self._names}
        # `read_table` would import more, and pandas where it is installed: half a second.
        columns = ["concept", "contrastive_concept"]
        pairs = pq.ParquetFile(folder / "contrastive_concepts.parquet").read(columns)
        for concept, contrastive in zip(*(pairs[each].to_pylist() for each in columns), strict=True):
            self._lists[concept].append(contrastive)
        self._ids = {name: number for number, name in enumerate(self._names)}
        self._by_folded = {fold(name): name for name in reversed(self._names)}

    @classmethod
    def load(
        cls,
        folder: str | Path | None = None,
        background: bool = True,
        encoder: "TextEncoder | None" = None,
        verify: bool = True,
    ) -> "ContrastiveConcepts":
        """Load a dictionary. Raises UserError if a file is missing, changed or in another format.

        folder: a local folder, an address such as hf://datasets/ORG/NAME@REVISION, or the name of a dictionary of the
        project, see `dictionary_folder`; None: redcaps.
        background: put "background" first in every answer (the paper's default). encoder: used for unknown texts
        instead of loading the one that the manifest names. It must be the same model.
        """
        folder = dictionary_folder(PUBLISHED if folder is None else folder)
        manifest = read_manifest(folder)
        if verify:
            check_files(folder, manifest)
        return cls(folder, manifest, background, encoder)

    def __getitem__(self, concept: str) -> list[str]:
        """The contrastive concepts of a concept of the vocabulary, by its exact name. Raises KeyError for any other."""
        return self._answer(self._lists[concept], [concept])

    def selected(self, concept: str) -> list[str]:
        """The concepts that the selection kept, unchanged: "background" is not added or removed. Raises KeyError."""
        return list(self._lists[concept])

    def typed(self, query: str | Match) -> dict[str, list[str]]:
        """All that captions mention with a query, or with the concept that it is mapped to, by what it is to it.

        The most frequent first. context: the contrastive concepts, as they were selected. Of the rejected candidates,
        confusable: too similar (a boat and a vessel); part: its parts, if they were asked for; abstract: cannot be
        seen; generic: words of the stop-list. Raises the errors of `lookup`."""
        match = query if isinstance(query, Match) else self.lookup([query])[0]
        found: dict[str, list[str]] = {CONTEXT: self.selected(match.concept), **{kind: [] for kind in TYPES.values()}}
        for reason, name in self._rejected.get(match.concept, ()):
            if reason in TYPES and name != BACKGROUND:
                found[TYPES[reason]].append(name)
        return {kind: [name for name in names if fold(name) != fold(match.query)] for kind, names in found.items()}

    @cached_property
    def _rejected(self) -> dict[str, list[tuple[str, str]]]:
        """Concept -> reason and name of its rejected candidates."""
        columns = ["concept", "reason", "contrastive_concept"]
        table = pq.ParquetFile(self.folder / "rejected.parquet").read(columns)
        found: dict[str, list[tuple[str, str]]] = {}
        for concept, reason, name in zip(*(table[column].to_pylist() for column in columns), strict=True):
            found.setdefault(concept, []).append((reason, name))
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def lookup(self, queries: Sequence[str]) -> list[Match]:
        """The matched concept and contrastive concepts of each query. A known name, in any case, needs no encoder.

        Raises UserError for an empty or overlong query, or if the encoder is not the dictionary's.
        """
        concepts = self._nearest(queries)
        typical = self.manifest.typical_nearest_similarity
        matches = []
        for query, (concept, similarity) in zip(queries, concepts, strict=True):
            unknown = self._unknown(query)
            listed = self._answer(self._lists[concept], [query, concept])
            matches.append(Match(query, concept, similarity, bool(unknown) or similarity < typical, listed, unknown))
        return matches

    def union(self, queries: Sequence[str], beta: float = BETA) -> list[str]:
        """The contrastive concepts of several queries at once (paper 3.6).

        The union, in the order of the queries, without concepts whose cosine to any query is above `beta`. This filter
        applies to "background" too. The encoder is loaded if "background" or a query is not a concept.
        """
        if not 0 <= beta <= 1:
            raise UserError(f"beta: found {beta}, expected a number from 0 to 1")
        concepts = [concept for concept, _ in self._nearest(queries)]
        merged = self._answer(dict.fromkeys(name for concept in concepts for name in self._lists[concept]), queries)
        if not merged:
            return []
        stays = far_from_queries(self._embed(merged), self._embed(queries), beta)
        return [name for name, far in zip(merged, stays, strict=True) if far]

    @cached_property
    def index(self) -> "faiss.Index":
        """The FAISS index of the concepts' vectors: exact inner product, one row per concept."""
        return read_index(self.folder / "concepts.faiss")

    @cached_property
    def nearest_index(self) -> "faiss.Index":
        """The index for searches: `index` on a GPU if FAISS can use one."""
        return on_gpu(self.index)

    @cached_property
    def encoder(self) -> "TextEncoder":
        """The encoder of the dictionary's vectors: the carried one, or that of the manifest, which needs torch.

        Raises UserError if it differs from the manifest's."""
        encoder, carried = self._given_encoder, self.manifest.encoder.carried
        if encoder is None and carried is not None:
            from contrastive_concepts.encoders.carried import CarriedText

            origin = self.manifest.encoder
            encoder = CarriedText(self.folder, origin.name, origin.weights_sha256 or "", carried.cleaning)
        if encoder is None:
            from pydantic import TypeAdapter

            from contrastive_concepts.config.similarity import SimilaritySettings
            from contrastive_concepts.encoders.configured import build_encoder

            encoder = build_encoder(TypeAdapter(SimilaritySettings).validate_python(self.manifest.encoder.settings))
        for what in ("dimension", "weights_sha256"):
            found, expected = getattr(encoder, what), getattr(self.manifest.encoder, what)
            if expected is not None and found != expected:
                raise UserError(f"{self.folder}: encoder {encoder.name}: found {what} {found}, expected {expected}")
        return encoder

    def _answer(self, contrastive: Iterable[str], queries: Sequence[str]) -> list[str]:
        asked = {fold(query) for query in queries}
        first = [BACKGROUND] if self.background else []
        listed = [name for name in contrastive if not (self.background and name == BACKGROUND)]
        return [name for name in first + listed if fold(name) not in asked]

    def _nearest(self, queries: Sequence[str]) -> list[tuple[str, float]]:
        known = [self._known(query, number) for number, query in enumerate(queries, 1)]
        unknown = [query for query, name in zip(queries, known, strict=True) if name is None]
        if not unknown:
            return [(name, 1.0) for name in known if name is not None]
        nearest = {text: self._further[fold(text)] for text in unknown if fold(text) in self._further}
        if others := [text for text in dict.fromkeys(unknown) if text not in nearest]:
            cosines, rows = self.nearest_index.search(self._encode(others), 1)
            found = zip(others, cosines[:, 0], rows[:, 0], strict=True)
            nearest |= {text: (self._names[row], float(cosine)) for text, cosine, row in found}
        return [(name, 1.0) if name is not None else nearest[query] for query, name in zip(queries, known, strict=True)]

    def _unknown(self, query: str) -> tuple[str, ...]:
        """The words of a query that its vector does not depend on; none if no vector was needed."""
        folded = fold(query)
        if folded in self._by_folded or folded in self._further:
            return ()
        return tuple(unknown_words(self.encoder, query))

    @cached_property
    def _further(self) -> dict[str, tuple[str, float]]:
        """Folded text -> nearest concept and cosine, of the words that the dictionary keeps beside its concepts."""
        if FURTHER not in self.manifest.files:
            return {}
        table = pq.ParquetFile(self.folder / FURTHER).read()
        columns = (table[name].to_pylist() for name in ("text", "concept", "similarity"))
        return {fold(text): (concept, similarity) for text, concept, similarity in zip(*columns, strict=True)}

    def _known(self, query: str, number: int) -> str | None:
        if not query.strip():
            raise UserError(f"query {number}: found an empty text, expected the name of a concept")
        if len(query) > MAX_QUERY_CHARACTERS:
            raise UserError(
                f"query {number}: found {len(query)} characters, "
                f"expected the name of a concept (at most {MAX_QUERY_CHARACTERS})"
            )
        return query if query in self._ids else self._by_folded.get(fold(query))

    def _embed(self, queries: Sequence[str]) -> "Embeddings":
        """Unit vectors of the queries. The vectors of known names are read from the index."""
        known = [self._known(query, number) for number, query in enumerate(queries, 1)]
        unknown = [query for query, name in zip(queries, known, strict=True) if name is None]
        encoded = iter(self._encode(unknown)) if unknown else iter(())
        return np.stack([self._vectors_of([name])[0] if name is not None else next(encoded) for name in known])

    def _encode(self, texts: Sequence[str]) -> "Embeddings":
        from contrastive_concepts.similarity.ensemble import embed

        carried = self.manifest.encoder.carried
        templates: Any = carried.prompts if carried else self.manifest.encoder.templates
        try:
            encoder = self.encoder
        except UserError as error:
            near = get_close_matches(fold(texts[0]), self._by_folded, 3)
            spelled = f"; concepts spelled like it: {', '.join(near)}" if near else ""
            raise UserError(
                f"{texts[0]!r} is no concept of {self.folder.name}, and the encoder that finds the nearest cannot be "
                f"used: {error}{spelled}"
            ) from None
        return embed(texts, encoder, templates)

    def _vectors_of(self, names: Sequence[str]) -> "Embeddings":
        return np.stack([self.index.reconstruct(self._ids[name]) for name in names])


def dictionary_folder(place: str | Path) -> Path:
    """The local folder of a dictionary: a folder, the name of one in the project, or what `places.fetch` takes."""
    if "://" in str(place):
        # Imported here, because it takes longer than to look up a concept.
        from contrastive_concepts.dictionary.places import fetch

        return fetch(place)
    carried = {folder.name: folder for folder in (RESOURCES / "dictionaries").iterdir()}
    return Path(place) if Path(place).exists() else carried.get(str(place), Path(place))


def fold(name: str) -> str:
    """A name without differences of letter case, blanks and underscores."""
    return " ".join(name.replace("_", " ").casefold().split())
