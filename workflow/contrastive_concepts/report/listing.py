"""Table 8: the contrastive concepts of each class, as Markdown and LaTeX."""

from collections.abc import Mapping, Sequence

from contrastive_concepts.markdown import cell

ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\n": " ", "\r": " ",
    }
)  # fmt: skip


def markdown(concepts: Mapping[str, Sequence[str]], title: str) -> str:
    """A table of GitHub's, a row a class, under its title."""
    rows = "".join(f"| {cell(query)} | {cell(', '.join(texts))} |\n" for query, texts in concepts.items())
    return f"**{title}**\n\n| Class | Contrastive concepts |\n| --- | --- |\n{rows}"


def latex(concepts: Mapping[str, Sequence[str]], title: str) -> str:
    """A floating table with booktabs; long rows are broken."""
    rows = "".join(
        f"{query.translate(ESCAPES)} & {', '.join(texts).translate(ESCAPES)} \\\\\n"
        for query, texts in concepts.items()
    )
    return (
        "\\begin{table}\n\\centering\n\\begin{tabular}{lp{0.75\\linewidth}}\n\\toprule\n"
        f"Class & Contrastive concepts \\\\\n\\midrule\n{rows}\\bottomrule\n\\end{{tabular}}\n"
        f"\\caption{{{title.translate(ESCAPES)}}}\n\\end{{table}}\n"
    )
