"""The exception that is shown to the user as one line, and a one-line form of other exceptions."""

import re

from contrastive_concepts.credentials import redact

LONGEST = 300
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CAUSE = re.compile(r"^(?:[\w.]*(?:Error|Exception|Warning|Interrupt)\b|error\b|fatal\b)\s*:?", re.IGNORECASE)


class UserError(Exception):
    """An error in the user's input. The message has the file, row or key, what was found and what was expected."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


def one_line(error: BaseException | str) -> str:
    """An error message as one line of at most `LONGEST` characters; the exception's class name if the message is empty.

    Colours and credentials are removed. A longer message of several lines is reduced to its last line that names an
    error, as in a chain of causes, or to its first line if none does.
    """
    text = _ANSI.sub("", str(error))
    lines = [line for raw in text.splitlines() if (line := " ".join(raw.split()))]
    if not lines:
        return type(error).__name__ if isinstance(error, BaseException) else "no message"
    joined = " ".join(lines)
    if len(joined) > LONGEST and len(lines) > 1:
        named = [line for line in lines if _CAUSE.match(line)]
        joined = named[-1] if named else lines[0]
    joined = "".join(character if character.isprintable() else "?" for character in joined)
    joined = redact(joined)
    return joined if len(joined) <= LONGEST else joined[: LONGEST - 3] + "..."
