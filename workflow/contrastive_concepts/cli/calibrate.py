"""`contrastive-concepts calibrate`: fit a judge to its model by human ratings."""

import json
import re
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
    labels: Annotated[
        Path | None,
        typer.Option(help="For a text encoder: CSV of further words, with the columns word and visible (yes or no)."),
    ] = None,
    judged: Annotated[
        Path | None,
        typer.Option(help="For a text encoder: a visibility.parquet, the verdicts of a judge to learn from."),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Further name of the same weights. The calibration is used for it too.")
    ] = None,
) -> None:
    """Fit the judge on one half of the rated nouns, and test it on the other half.

    A text encoder gets a regression, a language model (`form: likelihood`) weights of its contexts.
    """
    from contrastive_concepts.config.load import read_config
    from contrastive_concepts.config.visibility import CascadeJudge, EmbeddingJudge, Ratings, WordNetJudge
    from contrastive_concepts.errors import UserError
    from contrastive_concepts.logs import progress_bar
    from contrastive_concepts.visibility.agreement import read_ratings
    from contrastive_concepts.visibility.calibration import calibrate_embedding, calibrate_likelihood
    from contrastive_concepts.visibility.embedding import EncodedJudge
    from contrastive_concepts.visibility.judging import build_judge

    settings = read_config(config).visibility
    if isinstance(settings, WordNetJudge | CascadeJudge):
        raise UserError(
            f"config: visibility.judge: found {settings.judge!r}, expected one language model or text encoder to fit"
        )
    for option, given in (("labels", labels), ("judged", judged)):
        if given and not isinstance(settings, EmbeddingJudge):
            raise UserError(f"--{option}: found the judge {settings.judge!r}, expected 'embedding': only it takes them")
    columns = Ratings(word=word, ratings=rating or ["CONC", "IMAG"], low=low, high=high)
    rated = read_ratings(ratings, columns).height
    with progress_bar("scoring", rated) as progress:
        if isinstance(settings, EmbeddingJudge):
            fitted = calibrate_embedding(
                EncodedJudge(settings), model or [], ratings, columns, labels, judged, progress
            )
        else:
            with build_judge(settings) as judge:
                names = [settings.model, *(model or [])]
                fitted = calibrate_likelihood(judge, names, ratings, columns, progress)  # type: ignore[arg-type,assignment]
    text = json.dumps(fitted.model_dump(), indent=1)
    text = re.sub(r"\[[-\d.,e\s]+\]", lambda numbers: " ".join(numbers[0].split()), text)  # one line for each list
    output.write_text(text + "\n", encoding="utf-8")
    for name, figures in fitted.agreement.items():
        print(f"{name}: " + ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in figures.items()))
