"""A job's log: all output of a script, tracebacks included, is written to the log file of its rule."""

import contextlib
import gc
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from contrastive_concepts.credentials import redact
from contrastive_concepts.errors import UserError, one_line

ALLOCATIONS = 200_000
"""New objects until Python looks for garbage cycles. With its own 700, importing open_clip takes 30 % longer."""


class Redacting:
    """A text stream that removes credentials. It buffers whole lines, because a credential can be written in pieces."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._line = stream, ""

    def write(self, text: str) -> int:
        self._line += text
        whole, end, self._line = self._line.rpartition("\n")
        if end:
            self._stream.write(redact(whole + end))
        return len(text)

    def flush(self) -> None:
        """Write the buffered text, even if its line is incomplete."""
        if self._line:
            self._stream.write(redact(self._line))
            self._line = ""
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def job_log(path: str | Path) -> Iterator[TextIO]:
    """Write the output of the block to `path`, without credentials, there and on the terminal.

    A UserError ends the job with its one line on the terminal. Any other exception ends it with one line that names the
    log, which contains the traceback.
    """
    gc.set_threshold(ALLOCATIONS)
    with Path(path).open("w", encoding="utf-8", buffering=1) as file:
        log: Any = Redacting(file)
        errors: Any = Redacting(sys.stderr)
        try:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(errors):
                yield log
        except UserError as error:
            with contextlib.suppress(OSError):  # a full disk must not suppress the error line
                print(error, file=log)
            sys.exit(f"Error: {error}")
        except Exception as error:
            with contextlib.suppress(OSError):
                log.write(traceback.format_exc())
                log.flush()
            sys.exit(f"Error: {type(error).__name__}: {one_line(error)} (traceback: {path})")
        finally:
            with contextlib.suppress(OSError):
                errors.flush()
                log.flush()


@contextlib.contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on the terminal. The block receives a function to call with the number of finished items."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    # The bar redraws its line, so it writes to the terminal directly, not through a line-buffered stream.
    with Progress(*columns, console=Console(file=sys.__stderr__), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)
