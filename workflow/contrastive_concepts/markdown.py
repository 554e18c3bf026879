"""Names that others wrote, in a cell of a Markdown table: shown as they are, never markup."""

import re

SPECIAL = re.compile(r"([\\`*_\[\]<>|&~])")


def cell(text: str) -> str:
    """One line, in which nothing is a tag, a link, a picture, emphasis or the end of the cell."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
