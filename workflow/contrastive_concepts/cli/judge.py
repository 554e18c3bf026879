"""`contrastive-concepts judge`: verdicts on a list of words, to look at or to keep."""

from pathlib import Path
from typing import Annotated

import typer


def judge(
    config: Annotated[Path, typer.Argument(help="Configuration whose `visibility` has the judge.")],
    words: Annotated[Path, typer.Argument(help="Text file with one word or phrase per line.")],
    output: Annotated[Path, typer.Argument(help="Output: a parquet file for `visibility.kept_verdicts`.")],
    labels: Annotated[
        list[Path] | None,
        typer.Option(help="CSV of words whose label decides: the columns word, visible (yes or no). Repeatable."),
    ] = None,
) -> None:
    """Judge a list of words once, so that runs need not: on a machine with a large model, or by hand.

    Answers that the configuration's cache has are used, and new ones are added to it.
    """
    from contrastive_concepts.config.load import read_config
    from contrastive_concepts.config.visibility import judges_of
    from contrastive_concepts.logs import progress_bar
    from contrastive_concepts.text_files import read_lines
    from contrastive_concepts.visibility.judging import build_judge, give_verdicts, require_verdicts
    from contrastive_concepts.visibility.verdicts import read_labels, with_labels

    run = read_config(config)
    settings = run.visibility
    listed = list(dict.fromkeys(line for line in read_lines(words, "a list of words") if line))
    labelled = [(file.name, read_labels(file)) for file in labels or []]
    answers = Path(run.answers)
    answers.parent.mkdir(parents=True, exist_ok=True)
    with progress_bar("judging", len(listed)) as progress:
        judges = [build_judge(each) for each in judges_of(settings)]
        verdicts = give_verdicts(listed, judges, settings, answers, progress)
    require_verdicts(verdicts, run.checks.parsed_verdicts)
    for name, given in labelled:
        verdicts = with_labels(verdicts, given, name)
    output.parent.mkdir(parents=True, exist_ok=True)
    verdicts.write_parquet(output)
    print(f"{output}: {verdicts.height:,} words, {int(verdicts['visible'].sum()):,} visible")
    for model, count in sorted(verdicts.group_by("model").len().iter_rows()):
        print(f"  {model}: {count:,}")
