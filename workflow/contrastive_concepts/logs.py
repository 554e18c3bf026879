"""A job's log: everything a script says, tracebacks included, lands in the file that its rule names."""

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from contrastive_concepts.credentials import redact
from contrastive_concepts.errors import UserError, one_line


class Redacting:
    """A text stream that shows no credentials. Text is held until its line ends, as one may be written in pieces."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._line = stream, ""

    def write(self, text: str) -> int:
        self._line += text
        whole, end, self._line = self._line.rpartition("\n")
        if end:
            self._stream.write(redact(whole + end))
        return len(text)

    def flush(self) -> None:
        """Pass on what is held, whole or not."""
        if self._line:
            self._stream.write(redact(self._line))
            self._line = ""
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def job_log(path: str | Path) -> Iterator[TextIO]:
    """Write what the block prints to `path`, and let it show no credentials there or on the terminal.

    A user's mistake ends the job with its one line on the terminal; any other error with one that names the log, which
    holds the traceback.
    """
    with Path(path).open("w", encoding="utf-8", buffering=1) as file:
        log: Any = Redacting(file)
        errors: Any = Redacting(sys.stderr)
        try:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(errors):
                yield log
        except UserError as error:
            with contextlib.suppress(OSError):  # a full disk must not hide the line
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
    """A bar on the terminal for a long step; the block is given a function that takes the number done so far."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    # The bar draws over its own line, so it writes to the terminal itself, not through a stream that waits for lines.
    with Progress(*columns, console=Console(file=sys.__stderr__), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)
