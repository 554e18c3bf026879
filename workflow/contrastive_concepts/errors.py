"""The one error that is shown to a user as a single line, and the one line that a library's error is worth."""

import re

from contrastive_concepts.credentials import redact

LONGEST = 300
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CAUSE = re.compile(r"^(?:[\w.]*(?:Error|Exception|Warning|Interrupt)\b|error\b|fatal\b)\s*:?", re.IGNORECASE)


class UserError(Exception):
    """A mistake in the user's input: names the file, row or key, what was found and what was expected."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


def one_line(error: BaseException | str) -> str:
    """What a library's error says, on one line of at most `LONGEST` characters; its kind where it says nothing.

    Colours and credentials are removed. Of a message of many lines the one that names an error counts, the last of
    them where there are several, as in a chain of causes; else the first.
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
