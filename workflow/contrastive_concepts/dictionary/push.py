"""Publishes a dictionary with its card at an address: the Hugging Face hub, or any that fsspec can write to."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq

from contrastive_concepts.captions.files import WEB, is_url
from contrastive_concepts.credentials import hide, redact, reveal
from contrastive_concepts.dictionary.card import card, fact_table, facts
from contrastive_concepts.dictionary.hub import HUB, HubPlace, commit, published_manifest
from contrastive_concepts.dictionary.manifest import NAME, Manifest, check_files, file_names, read_manifest
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.markup import markdown_table, markdown_text

README = "README.md"
TABLES = ("contrastive_concepts", "concepts", "rejected")
"""Parquet files of a dictionary, which the hub shows as tables."""
_FOLDERS = re.compile(r"(?P<before>^|[\s:=,'\"(]|file://)(?:~[^/\s]*/(?:[^/:\n]+/)*|/(?!/)(?:[^/:\n]+/)+)")


@dataclass(frozen=True)
class Publication:
    """What is published: a file's name -> its path or content, the manifest last. `manifest`: as it is published."""

    manifest: Manifest
    files: Mapping[str, Path | bytes]

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {
            name: len(content) if isinstance(content, bytes) else content.stat().st_size
            for name, content in self.files.items()
        }


def publication(folder: Path, address: str, licence: str | None = None) -> Publication:
    """What `push` publishes of a dictionary's folder. Raises UserError if a file is missing or changed.

    The manifest is published without credentials, and without the folders of local files except the encoder's, which is
    rebuilt from them. address: for the card.
    """
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    cleaned = _cleaned(manifest)
    files: dict[str, Path | bytes] = {README: _card(folder, cleaned, hide(address), licence).encode()}
    files |= {name: folder / name for name in file_names(manifest)}
    files[NAME] = f"{cleaned.model_dump_json(indent=2)}\n".encode()
    return Publication(cleaned, files)


def push(published: Publication, address: str, private: bool = False) -> tuple[str, Manifest | None]:
    """Publish at an address. Returns the address to load from, and the manifest that was there before.

    On the hub this is one commit, in a dataset that is made if needed, and the address returned names the commit.
    Elsewhere the manifest is written last. Files that only the dictionary that was there has are removed.
    Raises UserError if the address cannot be written, or has a README.md that is not a dictionary's.
    """
    shown = hide(address)
    if not is_url(address) or address.startswith(WEB):
        raise UserError(f"{shown}: expected an address that can be written, such as hf://datasets/ORG/NAME or s3://")
    if not address.startswith(HUB):
        return shown, _write(shown, published)
    place = HubPlace.parse(shown)
    if place.revision or place.folder:
        raise UserError(f"{shown}: expected hf://datasets/ORG/NAME: a push makes a commit in the main branch")
    before = published_manifest(place)
    counts = published.manifest.counts
    message = ", ".join([published.manifest.run, *(f"{counts[name]:,} {name}" for name in HEADLINE if name in counts)])
    return commit(place, published.files, _superseded(before, published), message, private), before


HEADLINE = ("concepts", "contrastive concepts")
"""The counts that a commit's message names."""


def changes(before: Manifest | None, after: Manifest) -> list[str]:
    """What another manifest has in place of the one before, a line each: files and counts. Empty if they agree."""
    if before is None:
        return []
    lines = []
    for name in {**before.files, **after.files}:
        old, new = before.files.get(name), after.files.get(name)
        if old != new:
            lines.append(f"{name}: {'added' if old is None else 'removed' if new is None else 'changed'}")
    for name in {**before.counts, **after.counts}:
        if before.counts.get(name) != after.counts.get(name):
            lines.append(f"{name}: {before.counts.get(name, 0):,} -> {after.counts.get(name, 0):,}")
    return lines


def _superseded(before: Manifest | None, published: Publication) -> list[str]:
    return [] if before is None else [name for name in file_names(before) if name not in published.files]


def _write(address: str, published: Publication) -> Manifest | None:
    """Write the files one by one. Returns the manifest that was there."""
    try:
        filesystem, root = fsspec.core.url_to_fs(reveal(address))
        root = root.rstrip("/")
        before = None
        if filesystem.exists(f"{root}/{NAME}"):
            before = Manifest.model_validate_json(filesystem.cat_file(f"{root}/{NAME}"))
        elif filesystem.exists(f"{root}/{README}"):
            raise UserError(f"{address}: found {README} but no {NAME}, expected a new folder or a dictionary's")
        for name, content in published.files.items():
            path = f"{root}/{name}"
            if "file" in filesystem.protocol:
                filesystem.makedirs(filesystem._parent(path), exist_ok=True)
            if isinstance(content, bytes):
                filesystem.pipe_file(path, content)
            else:
                filesystem.put_file(str(content), path)
        for name in _superseded(before, published):
            if filesystem.exists(f"{root}/{name}"):
                filesystem.rm_file(f"{root}/{name}")
    except UserError:
        raise
    except Exception as error:  # each filesystem raises exceptions of its own
        raise UserError(f"{address}: cannot be written ({one_line(error)})") from None
    return before


def _cleaned(manifest: Manifest) -> Manifest:
    """The manifest without credentials, and with local files by their names alone, except the encoder's."""
    plain = hide(manifest.model_dump())
    kept = {name: plain[name] for name in ("encoder", "files")}
    return Manifest.model_validate_json(redact(Manifest.model_validate(_by_name(plain) | kept).model_dump_json()))


def _by_name(value: Any) -> Any:
    """The value with each local path in its texts cut to the file's name."""
    if isinstance(value, str):
        return without_folders(value)
    if isinstance(value, Mapping):
        return {key: _by_name(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_by_name(entry) for entry in value]
    return value


def without_folders(text: str) -> str:
    """The text with each absolute local path cut to its last part."""
    return _FOLDERS.sub(r"\g<before>", text)


def local_encoder(manifest: Manifest) -> list[str]:
    """Values of the encoder's settings that name local files, which others do not have."""
    values = (value for value in manifest.encoder.settings.values() if isinstance(value, str))
    return [value for value in values if without_folders(value) != value]


def _card(folder: Path, manifest: Manifest, address: str, licence: str | None) -> str:
    parquet = {name: pq.ParquetFile(folder / f"{name}.parquet") for name in TABLES}
    # `datasets` refuses a table without rows.
    shown = {name: f"{name}.parquet" for name, file in parquet.items() if file.metadata.num_rows}
    rows = [(name, f"{file.metadata.num_rows:,}", ", ".join(file.schema_arrow.names)) for name, file in parquet.items()]
    on_hub = address.startswith(HUB)
    # The place of a local copy says nothing to others.
    place = "FOLDER" if address.startswith(("file:", "local:", "memory:")) else address
    dataset = address.removeprefix(f"{HUB}datasets/") if on_hub else "FOLDER"
    told = {
        name: without_folders(value) if isinstance(value, str) else value for name, value in facts(manifest).items()
    }
    text = CARD.format(
        run=markdown_text(manifest.run),
        place=place,
        dataset=dataset,
        tables=markdown_table(["table", "rows", "columns"], rows),
        facts=fact_table([*told.items(), ("sha256 of the encoder's weights", manifest.encoder.weights_sha256 or "-")]),
        counts=fact_table(
            [*manifest.counts.items(), *((f"captions: {name}", n) for name, n in manifest.captions.items())]
        ),
        version=markdown_text(manifest.versions.get("contrastive-concepts", "unknown")),
        licence=f"The licence is {markdown_text(licence)}." if licence else "No licence was stated.",
    )
    return card(f"Contrastive concepts: {manifest.run}", shown, text, licence)


CARD = """\
# Contrastive concepts: {run}

For each concept, other things that images with it show as well (arXiv 2407.05061). An open-vocabulary segmenter is
given the query and these texts as negatives, and keeps the pixels of the query.

```python
from contrastive_concepts import ContrastiveConcepts  # pip install 'contrastive-concepts[remote]'

dictionary = ContrastiveConcepts.load("{place}")
concept = next(iter(dictionary))
texts = [concept, *dictionary[concept]]
```

or as tables:

```python
from datasets import load_dataset

load_dataset("{dataset}", "contrastive_concepts", split="train")
```

{tables}
All concepts are in it. `rejected` has the candidates that were dropped, and why. `concepts.faiss` has a vector of each
concept, by which other texts are mapped to the nearest. `{manifest}` has the whole configuration and the sha256 of
every file.

## How it was made

{facts}
With version {version} of contrastive-concepts.

## Counts

{counts}
## Licence

{licence} The corpus and the models above have terms of their own.
""".replace("{manifest}", NAME)
