"""The page of measurements: one section per part, rewritten by the command that measures it."""

import os
import platform
import re
from pathlib import Path

TITLE = "# Performance\n\nMeasured by `contrastive-concepts bench`, on the machine that each section names.\n"


def write_section(page: Path, title: str, text: str) -> None:
    """Replace the section `## title` of a Markdown page, or append it. Creates the page if it does not exist."""
    old = page.read_text(encoding="utf-8") if page.is_file() else TITLE
    section = f"## {title}\n\n{text.strip()}\n"
    found = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", old, re.MULTILINE | re.DOTALL)
    if found is None:
        new = f"{old.rstrip()}\n\n{section}"
    else:
        new = f"{old[: found.start()]}{section}\n{old[found.end() :]}".rstrip() + "\n"
    page.write_text(new, encoding="utf-8")


def machine() -> str:
    """A description of this machine's processor and cores."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file() and (named := re.search(r"^model name\s*: (.+)$", info.read_text(), re.MULTILINE)):
        model = named[1]
    return f"{os.cpu_count()} cores ({model})"
