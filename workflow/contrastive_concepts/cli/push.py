"""`contrastive-concepts push`: publish a dictionary, with its card."""

import sys
from typing import Annotated

import typer


def push(
    folder: Annotated[str, typer.Argument(help="Folder or address of a dictionary.")],
    address: Annotated[
        str, typer.Argument(help="hf://datasets/ORG/NAME, or another address such as s3://BUCKET/FOLDER.")
    ],
    licence: Annotated[
        str | None, typer.Option(help="The hub's short name of the licence for the card, such as cc-by-4.0.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new dataset of the hub private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the files and their bytes; send nothing.")] = False,
) -> None:
    """Publish a dictionary with its card, on the Hugging Face hub or at any address that can be written."""
    from contrastive_concepts.dictionary.contrastive import dictionary_folder
    from contrastive_concepts.dictionary.push import changes, local_encoder, publication
    from contrastive_concepts.dictionary.push import push as publish

    published = publication(dictionary_folder(folder), address, licence)
    if licence is None:
        print("note: the card states no licence, see --licence", file=sys.stderr)
    for value in local_encoder(published.manifest):
        print(
            f"note: the manifest names your encoder's local path {value!r}; others need its files, and give it to "
            "ContrastiveConcepts.load(..., encoder=...)",
            file=sys.stderr,
        )
    for name, size in published.sizes.items():
        print(f"{size:>14,} {name}")
    print(f"{sum(published.sizes.values()):>14,} bytes")
    if dry_run:
        return
    place, before = publish(published, address, private)
    for line in changes(before, published.manifest):
        print(f"    {line}")
    print(place)
