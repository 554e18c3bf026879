"""Table 8: the contrastive concepts of each class, as Markdown and LaTeX."""

from collections.abc import Mapping, Sequence

from contrastive_concepts.markup import latex_table, latex_text, markdown_table, markdown_text

HEADS = ("Class", "Contrastive concepts")


def markdown(concepts: Mapping[str, Sequence[str]], title: str) -> str:
    """A table in GitHub's Markdown with one row per class, under its title."""
    rows = ((query, ", ".join(texts)) for query, texts in concepts.items())
    return f"**{markdown_text(title)}**\n\n{markdown_table(HEADS, rows)}"


def latex(concepts: Mapping[str, Sequence[str]], title: str) -> str:
    """A floating table with booktabs. Long rows are wrapped."""
    rows = ((query, ", ".join(texts)) for query, texts in concepts.items())
    table = latex_table(r"lp{0.75\linewidth}", HEADS, rows)
    return f"\\begin{{table}}\n\\centering\n{table}\\caption{{{latex_text(title)}}}\n\\end{{table}}\n"
