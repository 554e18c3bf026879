"""`contrastive-concepts data`: create label maps that a data set does not include."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Prepare data sets for the benchmark.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Prepare data sets for the benchmark."""


@app.command()
def context(
    annotations: Annotated[Path, typer.Argument(help="File trainval_merged.json of Pascal in Detail.")],
    root: Annotated[Path, typer.Argument(help="Folder VOC2010, which contains JPEGImages.")],
) -> None:
    """Write Pascal Context's label maps and image lists from the Detail annotations."""
    from contrastive_concepts.evaluation.pascal_context import convert_context

    counts = convert_context(annotations, root)
    print(", ".join(f"{split}: {count} label maps" for split, count in counts.items()))
