"""`contrastive-concepts audit`: a report on the judge's verdicts."""

from pathlib import Path
from typing import Annotated

import typer


def audit(
    verdicts: Annotated[Path, typer.Argument(help="File visibility/visibility.parquet of a run.")],
    folder: Annotated[Path, typer.Argument(help="Folder for audit.md, audit.html and audit.parquet.")],
    ratings: Annotated[Path | None, typer.Option(help="CSV or TSV of words rated by people.")] = None,
    second: Annotated[Path | None, typer.Option(help="visibility.parquet of another judge, to compare with.")] = None,
    word: Annotated[str, typer.Option(help="Column of the words.")] = "WORD",
    rating: Annotated[
        list[str] | None, typer.Option(help="Column of ratings. Repeatable; the first is the main one.")
    ] = None,
    low: Annotated[float, typer.Option(help="The lowest rating of the scale.")] = 1,
    high: Annotated[float, typer.Option(help="The highest rating of the scale.")] = 7,
    threshold: Annotated[float, typer.Option(help="Threshold of the verdicts.")] = 0.5,
    nearest: Annotated[int, typer.Option(help="Number of words in each list.")] = 50,
) -> None:
    """Write a report on the verdicts: words by P(visible), doubtful and unparsed ones, agreement with human ratings."""

    from contrastive_concepts.config.visibility import AuditSettings
    from contrastive_concepts.visibility.audit import audit as audit_verdicts
    from contrastive_concepts.visibility.audit import write_audit
    from contrastive_concepts.visibility.verdicts import read_verdicts

    settings = AuditSettings(word=word, ratings=rating or ["CONC", "IMAG"], low=low, high=high, nearest=nearest)
    other = read_verdicts(second) if second else None
    table, sections = audit_verdicts(read_verdicts(verdicts), threshold, settings, ratings, other)
    folder.mkdir(parents=True, exist_ok=True)
    write_audit(table, sections, folder / "audit.md", folder / "audit.html", folder / "audit.parquet")
    print(f"{folder / 'audit.md'}: {table.height} concepts, {int(table['visible'].sum())} visible")
