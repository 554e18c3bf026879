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
    from tools.usage import profile, rule_usages

    found = rule_usages(results)
    table = Table(box=None)
    table.add_column("rule", no_wrap=True)
    for heading in ("jobs", "longest s", "took MB", "asked MB", "asked min", "proposed MB", "proposed min"):
        table.add_column(heading, justify="right")
    for usage in found:
        figures = (
            usage.jobs,
            round(usage.seconds),
            None if usage.memory_mb is None else round(usage.memory_mb),
            usage.asked_mb,
            usage.asked_minutes,
            usage.proposed_mb(headroom),
            usage.proposed_minutes(headroom),
        )
        table.add_row(usage.rule, *("-" if figure is None else str(figure) for figure in figures))
    Console(soft_wrap=True).print(table)
    if output is not None:
        output.write_text(profile(found, headroom), encoding="utf-8")
