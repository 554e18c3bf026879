"""The documentation site, as text: every page is in the navigation, every link leads somewhere."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contrastive_concepts.resources import PACKAGE
from tests.conftest import ROOT

DOCS = ROOT / "docs"
PROJECT = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "config" / "README.md"]


def listed(nav: Any) -> Iterator[str]:
    """The pages of a navigation: texts, and lists and tables of them."""
    if isinstance(nav, str):
        yield nav
    else:
        for entry in nav.values() if isinstance(nav, dict) else nav:
            yield from listed(entry)


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^(```|~~~).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The headings' anchors, as the site and GitHub make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_navigation_once() -> None:
    assert sorted(listed(PROJECT["nav"])) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_the_site_takes_no_font_from_elsewhere() -> None:
    assert PROJECT["theme"]["font"] is False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "code", prose(page)))
    for target in targets:
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.is_file(), f"{page.relative_to(ROOT)}: {target}"
        # The site has what lies in docs/ alone.
        assert page.parent != DOCS or file.resolve().is_relative_to(DOCS), f"{page.relative_to(ROOT)}: {target}"
        assert not anchor or anchor in anchors(file), f"{page.relative_to(ROOT)}: {target}"


def test_what_the_api_page_names_exists() -> None:
    named = re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(named) > 10
    for dotted in named:
        module, _, name = dotted.rpartition(".")
        source = PACKAGE.joinpath(*module.split(".")[1:])
        if (source / f"{name}.py").is_file():
            continue
        file = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
        assert re.search(rf"^(class|def) {name}\b|^__all__ = .*\"{name}\"", file.read_text(), re.MULTILINE), dotted
