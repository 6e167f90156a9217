"""Tables for LaTeX documents that use `booktabs` and `graphicx`."""

from __future__ import annotations

from collections.abc import Sequence

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\ttfamily\char34}",
    "`": r"{\ttfamily\char96}",
    # At the start of a row these would belong to the line break before it.
    **{sign: f"{{{sign}}}" for sign in "[]*"},
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
# As wide as it is, or as the line where it is wider.
_FITTED = "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%"


def fitted_table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, rule_after: int = 0) -> str:
    """A `table` no wider than the line, its first `left` columns aligned left, with a rule after row `rule_after` where that is not 0.

    Caption and cells are LaTeX already: `escape` what is not.
    """
    lines = [" & ".join(row) + r" \\" for row in rows]
    if 0 < rule_after < len(lines):
        lines.insert(rule_after, r"\midrule")
    columns = "l" * left + "r" * (len(header) - left)
    top = ["\\begin{table}", "\\centering", f"\\caption{{{caption}}}", _FITTED, f"\\begin{{tabular}}{{{columns}}}", "\\toprule"]
    return "\n".join([*top, " & ".join(header) + r" \\", "\\midrule", *lines, "\\bottomrule", "\\end{tabular}}", "\\end{table}", ""])


def escape(text: str) -> str:
    """Text as LaTeX prints it unchanged, but for white space: a blank line would end a caption."""
    return "".join(_SPECIAL.get(sign, sign) for sign in " ".join(text.split())).replace("--", "-{}-")
