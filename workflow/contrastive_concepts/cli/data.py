"""`contrastive-concepts data`: label maps that a data set does not ship itself."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Prepare data sets for the benchmark.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Prepare data sets for the benchmark."""


@app.command()
def context(
    annotations: Annotated[Path, typer.Argument(help="trainval_merged.json of Pascal in Detail.")],
    root: Annotated[Path, typer.Argument(help="VOC2010's folder, the one with JPEGImages.")],
) -> None:
    """Write Pascal Context's label maps and lists of images from the Detail annotations."""
    from contrastive_concepts.evaluation.pascal_context import convert_context

    counts = convert_context(annotations, root)
    print(", ".join(f"{split}: {count} label maps" for split, count in counts.items()))
