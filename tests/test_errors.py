"""The one line that a library's message is worth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrastive_concepts.errors import LONGEST, UserError, one_line

# As PyTorch, vLLM, DuckDB and a chain of causes say it: what matters is seldom the first line.
MESSAGES = [
    ("", "ValueError"),
    (" \n\t\n", "ValueError"),
    ("not found", "not found"),
    ("out of memory\nat line 3", "out of memory at line 3"),
    ("\x1b[31mIO Error\x1b[0m: \x1b]8;;http://x\x07disk\x1b]8;;\x07 full", "IO Error: disk full"),
    ("a\x00b\x1bc", "a?b?c"),
    (f"Weights only load failed. {'In PyTorch 2.6 the default changed. ' * 9}\n\nUnpicklingError: Unsupported global: x.Y",
     "UnpicklingError: Unsupported global: x.Y"),
    (f"RuntimeError: {'engine ' * 40}\nOSError: no such file\n{'See the documentation. ' * 9}", "OSError: no such file"),
    (f"the beginning\n{'more ' * 100}", "the beginning"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "line"), MESSAGES)
def test_the_line_that_tells(message: str, line: str) -> None:
    assert one_line(ValueError(message)) == line


def test_a_long_line_is_cut() -> None:
    assert one_line("x" * 1000) == "x" * (LONGEST - 3) + "..."


@given(st.text(max_size=600))
def test_it_is_always_one_line_that_can_be_printed(message: str) -> None:
    line = one_line(ValueError(message))
    assert 0 < len(line) <= LONGEST
    assert line.isprintable()
    assert "\n" not in str(UserError(line))
