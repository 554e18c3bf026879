"""The prompts, stored as files so that they can be read, changed and hashed (paper 6.3.2, 6.4)."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath

from contrastive_concepts.errors import UserError
from contrastive_concepts.resources import resource
from contrastive_concepts.text_files import read_text

SLOT = "{q}"

LIST_TOKENS = 256
"""Maximum number of tokens of a written list."""


@dataclass(frozen=True)
class Prompt:
    """A text with one slot `{q}`."""

    name: str
    text: str

    def __post_init__(self) -> None:
        if self.text.count(SLOT) != 1:
            raise UserError(f"prompt {self.name}: found {self.text.count(SLOT)} slots {SLOT}, expected one")

    @property
    def sha256(self) -> str:
        """Hash of the text, 64 hexadecimal digits."""
        return text_sha256(self.text)

    def fill(self, query: str) -> str:
        """The text with the query in its slot. The query is inserted literally."""
        return self.text.replace(SLOT, query)

    def within(self, template: "Prompt") -> "Prompt":
        """This prompt inside a model's raw template, for endpoints that apply no template."""
        return Prompt(f"{self.name} in {template.name}", template.fill(self.text))


@cache
def load_prompt(path: str) -> Prompt:
    """One of the paper's prompts, or the raw instruction template of Mixtral (the tokeniser adds the BOS token).

    path: a file below `resources/`, such as `prompts/visible.txt`. Surrounding white space is removed. Raises
    UserError if the file is missing.
    """
    return Prompt(PurePath(path).stem, read_text(resource(path), "a prompt file").strip())


def load_prompts(path: str) -> list[str]:
    """The lines of a file below `resources/` with a slot `{q}` each, without its comments (#) and empty lines.

    Raises UserError if the file is missing or a line has no slot.
    """
    lines = read_text(resource(path), "a prompt file").split("\n")
    texts = [line for line in lines if line.strip() and not line.startswith("#")]
    wrong = [text for text in texts if text.count(SLOT) != 1]
    if wrong or not texts:
        found = repr(wrong[0]) if wrong else "no line"
        raise UserError(f"{PurePath(path).name}: found {found}, expected lines with one slot {SLOT}")
    return texts


def text_sha256(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
