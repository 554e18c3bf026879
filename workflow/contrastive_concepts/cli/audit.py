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
    import polars as pl

    from contrastive_concepts.config.visibility import AuditSettings
    from contrastive_concepts.errors import UserError, one_line
    from contrastive_concepts.visibility.audit import REQUIRED, write_audit
    from contrastive_concepts.visibility.audit import audit as audit_verdicts

    def read(path: Path) -> pl.DataFrame:
        try:
            table = pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise UserError(f"{path}: cannot be read as verdicts ({one_line(error)})") from None
        if not set(table.columns) >= REQUIRED:
            found = ", ".join(table.columns)[:80]
            raise UserError(f"{path}: found the columns {found}, expected {', '.join(sorted(REQUIRED))}")
        return table

    settings = AuditSettings(word=word, ratings=rating or ["CONC", "IMAG"], low=low, high=high, nearest=nearest)
    other = read(second) if second else None
    table, sections = audit_verdicts(read(verdicts), threshold, settings, ratings, other)
    folder.mkdir(parents=True, exist_ok=True)
    write_audit(table, sections, folder / "audit.md", folder / "audit.html", folder / "audit.parquet")
    print(f"{folder / 'audit.md'}: {table.height} concepts, {int(table['visible'].sum())} visible")
