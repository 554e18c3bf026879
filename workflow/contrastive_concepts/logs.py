"""A job's log: everything a script says, tracebacks included, lands in the file that its rule names."""

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from contrastive_concepts.errors import UserError


@contextlib.contextmanager
def job_log(path: str | Path) -> Iterator[TextIO]:
    """Write what the block prints to `path`; a user's mistake ends the job with its one line on the terminal."""
    with Path(path).open("w", encoding="utf-8", buffering=1) as log, contextlib.redirect_stdout(log):
        try:
            yield log
        except UserError as error:
            print(error, file=log)
            sys.exit(f"Error: {error}")
        except Exception:
            traceback.print_exc(file=log)
            raise


@contextlib.contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal for a long step; the block is given a function that takes the number done so far."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)
