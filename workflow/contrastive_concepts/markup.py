"""Tables in Markdown and LaTeX. All cells are escaped, so that names from users' data never act as markup."""

import re
from collections.abc import Iterable, Sequence

from jinja2 import Environment
from markupsafe import Markup

MARKDOWN = re.compile(r"([\\`*_\[\]<>|&~])")
LATEX = str.maketrans(
    {
        **{letter: rf"\{letter}" for letter in "&%$#_{}"},
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\n": " ", "\r": " ",
    }
)  # fmt: skip


def markdown_text(text: object) -> str:
    """One line of escaped Markdown: no tag, link, image, emphasis or end of a cell. `Markup` is not escaped."""
    if isinstance(text, Markup):
        return str(text)
    return MARKDOWN.sub(r"\\\1", " ".join(str(text).split()))


def latex_text(text: object) -> str:
    """One line of escaped LaTeX, without commands."""
    return str(text).translate(LATEX)


_ENVIRONMENT = Environment(autoescape=False, trim_blocks=True, keep_trailing_newline=True)
_ENVIRONMENT.filters |= {"markdown": markdown_text, "latex": latex_text}
_MARKDOWN = _ENVIRONMENT.from_string(
    """\
| {{ heads | map("markdown") | join(" | ") }} |
| {{ (["---"] * heads | length) | join(" | ") }} |
{% for row in rows %}
| {{ row | map("markdown") | join(" | ") }} |
{% endfor %}
"""
)
_LATEX = _ENVIRONMENT.from_string(
    r"""\begin{tabular}{{ "{" }}{{ columns }}{{ "}" }}
\toprule
{% if groups %}
{{ "& " * (heads | length - groups | sum(attribute=1)) }}
{%- for name, span in groups %}
{{- " & " if not loop.first }}\multicolumn{{ "{" }}{{ span }}}{c}{{ "{" }}{{ name | latex }}}
{%- endfor %} \\
{% endif %}
{{ heads | map("latex") | join(" & ") }} \\
\midrule
{% for row in rows %}
{{ row | map("latex") | join(" & ") }} \\
{% endfor %}
\bottomrule
\end{tabular}
"""
)


def markdown_table(heads: Sequence[object], rows: Iterable[Iterable[object]]) -> str:
    """A table in GitHub's Markdown. Every cell is escaped."""
    return _MARKDOWN.render(heads=list(heads), rows=[list(row) for row in rows])


def latex_table(
    columns: str,
    heads: Sequence[object],
    rows: Iterable[Iterable[object]],
    groups: Sequence[tuple[str, int]] = (),
) -> str:
    """A LaTeX tabular with booktabs. Every cell is escaped.

    columns: LaTeX's column specification. groups: titles over the last columns, and how many columns each spans.
    """
    return _LATEX.render(columns=columns, heads=list(heads), rows=[list(row) for row in rows], groups=list(groups))
