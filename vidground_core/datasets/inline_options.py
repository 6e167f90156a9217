"""Options that stand inside a text: one a line at the end of the question, or as a list written into a cell."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from vidground_core.datasets.file_loader import BadRow, text_of
from vidground_core.datasets.lettering import LETTERS, LetteredOptions

LETTERED_LINE = re.compile(r"\s*(?:\(([A-Z])\)|([A-Z])[.):])\s*(.*)")
NAMED_LINE = re.compile(r"\s*(?:Option|Sentence|Caption|Description|Information)\s+(?:([A-Z])|(\d+))\s*:\s*(.*)")
_HEADING = re.compile(r"\s*\b(?:options|choices)\s*:\s*$", re.IGNORECASE)
_FEWEST = 2


def split_inline(text: str, line_form: re.Pattern[str] = LETTERED_LINE) -> tuple[str, LetteredOptions] | None:
    """The question without its options, and the options; None where the text does not end in options A, B, … (or 1, 2, …).

    A line without a label goes on with the option above it. The heading `Options:` goes with the options.
    """
    lines = text.split("\n")
    for start in range(1, len(lines)):
        labelled = line_form.fullmatch(lines[start])
        if labelled is None or _label(labelled) not in ("A", "1"):
            continue
        options = _options(lines[start:], line_form)
        if options is not None:
            return _HEADING.sub("", "\n".join(lines[:start])).strip(), options
    return None


def listed(written: Any, name: str) -> Any:
    """The list in a cell that holds one as JSON or Python writes it; only literals are read, nothing is evaluated. Raises BadRow."""
    try:
        return ast.literal_eval(text_of(written, name))
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise error if isinstance(error, BadRow) else BadRow(f"{name} {written!r} is not a list") from error


def _options(lines: Sequence[str], line_form: re.Pattern[str]) -> LetteredOptions | None:
    labels: list[str] = []
    texts: list[str] = []
    for line in lines:
        match = line_form.fullmatch(line)
        if match is not None:
            labels.append(_label(match))
            texts.append(match.group(3).strip())
        elif line.strip():
            texts[-1] = f"{texts[-1]} {line.strip()}".strip()
    expected = LETTERS if labels[0] == "A" else [str(number) for number in range(1, len(labels) + 1)]
    if len(labels) < _FEWEST or labels != list(expected[: len(labels)]) or not all(texts):
        return None
    return LetteredOptions(tuple(labels), tuple(texts))


def _label(match: re.Match[str]) -> str:
    return match.group(1) or match.group(2)
