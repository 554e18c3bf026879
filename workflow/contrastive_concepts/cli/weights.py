"""`contrastive-concepts weights`: download an official file of trained heads. No other command does this."""

from pathlib import Path
from typing import Annotated

import typer


def weights(
    name: Annotated[str, typer.Argument(help="tcl, clip_dinoiser or a URL.")],
    path: Annotated[Path, typer.Argument(help="Where to write the file.")],
    sha256: Annotated[str | None, typer.Option(help="Expected checksum. A file with another one is not kept.")] = None,
) -> None:
    """Download an official file of trained heads and print its checksum."""
    from dataclasses import replace

    from contrastive_concepts.errors import UserError
    from contrastive_concepts.segmenters.weights import OFFICIAL, OfficialFile, fetch

    if name not in OFFICIAL and "://" not in name:
        raise UserError(f"weights: found {name!r}, expected {', '.join(OFFICIAL)} or an address")
    file = OFFICIAL.get(name) or OfficialFile(name)
    print(f"{fetch(replace(file, sha256=sha256 or file.sha256), path)}  {path}")
