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

    Every word is judged: `kept_verdicts` of the configuration is not used. Answers that its cache has are used, and new
    ones are added to it. Where two files label a word, the later one counts.
    """
    from contrastive_concepts.config.load import read_config
    from contrastive_concepts.config.visibility import judges_of
    from contrastive_concepts.errors import UserError
    from contrastive_concepts.logs import progress_bar
    from contrastive_concepts.text_files import read_lines
    from contrastive_concepts.visibility.judging import build_judge, give_verdicts, require_parsed
    from contrastive_concepts.visibility.verdicts import read_labels, with_labels

    run = read_config(config)
    settings = run.visibility.model_copy(update={"kept_verdicts": None})
    listed = list(dict.fromkeys(line for line in read_lines(words, "a list of words") if line))
    labelled = [(file.name, read_labels(file)) for file in labels or []]
    answers = Path(run.answers)
    unfinished = output.with_name(f"{output.name}.unfinished")
    for path in (answers, unfinished):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{path.parent}: cannot be made ({error.strerror}), expected a folder") from None
    if output.exists():
        raise UserError(f"{output}: exists, expected a new file")
    try:
        unfinished.touch()
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror})") from None
    try:
        with progress_bar("judging", len(listed)) as progress:
            judges = [build_judge(each) for each in judges_of(settings)]
            verdicts = give_verdicts(listed, judges, settings, answers, progress)
        for name, given in labelled:
            verdicts = with_labels(verdicts, given, name)
        require_parsed(verdicts, run.checks.parsed_verdicts)
        verdicts.write_parquet(unfinished)
        unfinished.rename(output)
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"{output}: {verdicts.height:,} words, {int(verdicts['visible'].sum()):,} visible")
    for model, count in sorted(verdicts.group_by("model").len().iter_rows()):
        print(f"  {model}: {count:,}")
    for name, given in labelled:
        if absent := given.filter(~given["word"].is_in(listed)).height:
            print(f"  {name}: {absent:,} of {given.height:,} labels are of words that are not in {words.name}")
