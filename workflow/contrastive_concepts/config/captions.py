"""Settings of the captions stage: the source of the corpus."""

from typing import Annotated, Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings, Slug


class ShardCaptions(Settings):
    """A corpus of caption shards."""

    source: Literal["shards"] = Field(
        description="Captions are read from files: parquet, TSV, CSV, JSON lines, COCO JSON or Flickr token files."
    )
    corpus: Slug = Field(
        "corpus", description="Name of the corpus. selection.gamma can have a value for each corpus name."
    )
    shards: list[str] = Field(
        min_length=1,
        description="Paths, globs or fsspec URLs of the shards, relative to data_dir.",
    )
    format: Literal["auto", "parquet", "tsv", "csv", "jsonl", "coco", "flickr"] = Field(
        "auto",
        description="Layout of the shards; auto: from the file name. Quotes are literal in a TSV. In a CSV they "
        "enclose fields, with any separator.",
    )
    column: str | int | None = Field(
        None,
        description="Caption column: a name or, in a TSV or CSV without header, a number from 0; null: detected by a "
        "common name (caption, text, title, ...) or as the only column of text.",
    )
    on_bad_shard: Literal["fail", "skip"] = Field(
        "fail",
        description="What happens if a shard is unreadable. fail: the run stops with its name; skip: it is reported.",
    )
    max_caption_bytes: int = Field(
        100_000, ge=1, description="Longer captions, in bytes of UTF-8, are counted as gigantic and not matched."
    )
    deduplicate: bool = Field(False, description="Count repeated captions once.")
    checksum: Literal["auto", "sha256", "stat"] = Field(
        "auto",
        description="How the manifest identifies a shard. sha256: by content; stat: by size and modification time (for "
        "a URL its tag); auto: sha256 for local files, stat for URLs.",
    )

    @property
    def reading(self) -> "ShardCaptions":
        """The settings with which the shards are read: these."""
        return self


class ConceptIndexCaptions(Settings):
    """The paper's source: an inverted index of concepts instead of captions (paper 4.1, reference 62)."""

    source: Literal["concept_index"] = Field(description="An index of concept -> numbers of its captions.")
    corpus: Slug = Field(
        "corpus", description="Name of the corpus. selection.gamma can have a value for each corpus name."
    )
    index: str = Field(
        description="Path or fsspec URL of a search-indices JSON, which is streamed; or path of a "
        "..._unigram_to_shard_mapping.pkl with the unigram pickles in the same folder (needs vocabulary.source: "
        "given). Relative to data_dir."
    )
    block_captions: int = Field(
        4_000_000, ge=1, description="Number of captions in a block when pairs are counted. It bounds the memory."
    )

    @property
    def is_unigram_map(self) -> bool:
        """Whether `index` is the map file of the unigram pickles."""
        return self.index.endswith(".pkl")


class ReleaseCaptions(Settings):
    """The authors' release: X without captions."""

    source: Literal["release"] = Field(description="The authors' pickle: concepts and their X.")
    corpus: Slug = Field(
        "corpus", description="Name of the corpus. selection.gamma can have a value for each corpus name."
    )
    release: str = Field(
        description="Path of the pickle (laion400m_lemmatized.pkl), relative to data_dir. Its code is not run."
    )


class ToyCaptions(Settings):
    """The embedded toy world's captions."""

    source: Literal["toyworld"] = Field(description="The embedded toy world generates the captions.")
    corpus: Slug = Field(
        "toyworld", description="Name of the corpus. selection.gamma can have a value for each corpus name."
    )
    captions: int = Field(200_000, ge=1, description="Number of captions.")
    shards: int = Field(4, ge=1, le=1000, description="Number of parquet shards.")
    seed: int = Field(0, ge=0, description="Seed. The same seed gives the same captions on every machine.")
    deduplicate: bool = Field(False, description="Count repeated captions once.")

    @property
    def reading(self) -> ShardCaptions:
        """The settings with which the shards are read: parquet, with default values for other keys."""
        return ShardCaptions(source="shards", shards=["*.parquet"], format="parquet", deduplicate=self.deduplicate)


CaptionsSettings = Annotated[
    ShardCaptions | ConceptIndexCaptions | ReleaseCaptions | ToyCaptions, Field(discriminator="source")
]
