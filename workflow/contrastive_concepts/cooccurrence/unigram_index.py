"""The data from which the paper's concept index was made (its reference 62): pickles of lemma -> caption numbers.

The pickles are sharded by lemma. A map, `..._unigram_to_shard_mapping.pkl`, has for each lemma the number k of its
pickle, `..._combined_unigram_dict_{k}.pkl` in the same folder.
"""

import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from contrastive_concepts.captions.concept_index import Numbers
from contrastive_concepts.captions.shards import UNIGRAM_MAP, unigram_shard
from contrastive_concepts.errors import UserError
from contrastive_concepts.restricted_pickle import load_restricted
from contrastive_concepts.vocabulary.lemmas import concept_key, lemmatised_as


def stream_unigrams(path: str | Path, concepts: Sequence[str]) -> Iterator[tuple[str, Numbers]]:
    """Yield (concept, numbers of the captions that have all its words), ascending, each once.

    A word that the index does not have is dropped from the concept, as in reference 62. A concept with only such words
    has no captions. One pickle is in memory at a time. Raises UserError with file and key.
    """
    path = Path(path)
    if not path.name.endswith(UNIGRAM_MAP):
        raise UserError(f"{path}: expected the map of a unigram index, a file named ...{UNIGRAM_MAP}")
    places = _dict(path)
    keys = {concept: _indexed(concept, places) for concept in concepts}
    wanted = sorted((_shard_number(path, word, places), word) for word in {w for key in keys.values() for w in key})
    with tempfile.TemporaryFile() as file:
        ranges, written = {}, 0
        for number, group in groupby(wanted, key=lambda entry: entry[0]):
            shard = unigram_shard(path, number)
            lists = _dict(shard)
            for _, word in group:
                numbers = _numbers(shard, word, lists)
                file.write(numbers.tobytes())
                ranges[word] = (written, written + len(numbers))
                written += len(numbers)
            del lists
        file.flush()
        stored: Numbers = np.memmap(file, np.int64, "r") if written else np.empty(0, np.int64)
        for concept, key in keys.items():
            found: Numbers = np.empty(0, np.int64)
            for place, word in enumerate(sorted(key, key=lambda word: ranges[word][1] - ranges[word][0])):
                captions = stored[slice(*ranges[word])]
                found = np.array(captions) if place == 0 else np.intersect1d(found, captions, assume_unique=True)
            yield concept, found


def _indexed(concept: str, places: dict[Any, Any]) -> list[str]:
    """The index's lemmas of a concept's words. spaCy made them, so sunglasses has the lemma sunglass."""
    found = (next((name for name in lemmatised_as(word) if name in places), None) for word in concept_key(concept))
    return [name for name in dict.fromkeys(found) if name is not None]


def _dict(path: Path) -> dict[Any, Any]:
    content = load_restricted(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: found a {type(content).__name__}, expected a dict")
    return content


def _shard_number(path: Path, word: str, places: dict[Any, Any]) -> int:
    number = places[word]
    if not isinstance(number, int) or number < 0:
        raise UserError(f"{path}: {word!r}: found {number!r}, expected the number of a pickle")
    return number


def _numbers(path: Path, word: str, lists: dict[Any, Any]) -> Numbers:
    """A lemma's caption numbers, ascending, each once: the public files list the first one twice."""
    found = lists.get(word)
    if not isinstance(found, list) or not all(type(number) is int and 0 <= number < 2**63 for number in found):
        raise UserError(f"{path}: {word!r}: found {type(found).__name__}, expected a list of caption numbers")
    return np.unique(np.array(found, np.int64))
