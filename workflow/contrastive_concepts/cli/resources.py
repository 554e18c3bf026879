"""`contrastive-concepts resources`: used and requested resources of a run's jobs."""

from pathlib import Path
from typing import Annotated

import typer

from contrastive_concepts.cli.repository import import_from_repository


def resources(
    results: Annotated[Path, typer.Argument(help="Folder of a run's results.")],
    output: Annotated[Path | None, typer.Option(help="File for the proposal, as part of a Snakemake profile.")] = None,
    headroom: Annotated[float, typer.Option(help="Factor from the measured maximum to the proposal.", min=1.0)] = 1.5,
) -> None:
    """Show used and requested resources of each rule's jobs, and propose requests."""
    from rich.console import Console
    from rich.table import Table

    import_from_repository("resources")
    from tools.demand import demands, profile

    found = demands(results)
    table = Table(box=None)
    table.add_column("rule", no_wrap=True)
    for heading in ("jobs", "longest s", "took MB", "asked MB", "asked min", "proposed MB", "proposed min"):
        table.add_column(heading, justify="right")
    for demand in found:
        figures = (
            demand.jobs,
            round(demand.seconds),
            None if demand.memory_mb is None else round(demand.memory_mb),
            demand.asked_mb,
            demand.asked_minutes,
            demand.proposed_mb(headroom),
            demand.proposed_minutes(headroom),
        )
        table.add_row(demand.rule, *("-" if figure is None else str(figure) for figure in figures))
    Console(soft_wrap=True).print(table)
    if output is not None:
        output.write_text(profile(found, headroom), encoding="utf-8")
