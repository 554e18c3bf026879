"""`contrastive-concepts calibrate`: fit the likelihood judge to a model."""

from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    config: Annotated[Path, typer.Argument(help="Configuration whose `visibility` has the model.")],
    ratings: Annotated[Path, typer.Argument(help="CSV or TSV of nouns rated by people.")],
    output: Annotated[Path, typer.Argument(help="Output: a JSON file for `visibility.calibration`.")],
    word: Annotated[str, typer.Option(help="Column of the words.")] = "WORD",
    rating: Annotated[
        list[str] | None,
        typer.Option(help="Column of ratings. Repeatable: the first is fitted, agreement is reported for all."),
    ] = None,
    low: Annotated[float, typer.Option(help="The lowest rating of the scale.")] = 1,
    high: Annotated[float, typer.Option(help="The highest rating of the scale.")] = 7,
    model: Annotated[
        list[str] | None, typer.Option(help="Further name of the same weights. The calibration is used for it too.")
    ] = None,
) -> None:
    """Fit the contexts' weights and the curve on one half of the rated nouns, and test them on the other half."""
    from contrastive_concepts.config.load import read_config
    from contrastive_concepts.config.visibility import Ratings, WordNetJudge
    from contrastive_concepts.errors import UserError
    from contrastive_concepts.logs import progress_bar
    from contrastive_concepts.visibility.agreement import read_ratings
    from contrastive_concepts.visibility.calibration import calibrate as fit_to_ratings
    from contrastive_concepts.visibility.judging import build_judge

    settings = read_config(config).visibility
    if isinstance(settings, WordNetJudge):
        raise UserError("config: visibility.judge: found 'wordnet', expected a language model: there is nothing to fit")
    columns = Ratings(word=word, ratings=rating or ["IMAG", "CONC"], low=low, high=high)
    rated = read_ratings(ratings, columns).height
    with build_judge(settings) as judge, progress_bar("scoring", rated) as progress:
        fitted = fit_to_ratings(judge, [settings.model, *(model or [])], ratings, columns, progress)  # type: ignore[arg-type]
    output.write_text(fitted.model_dump_json(indent=1) + "\n", encoding="utf-8")
    for name, figures in fitted.agreement.items():
        print(f"{name}: " + ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in figures.items()))
