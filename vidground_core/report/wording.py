"""How numbers, names and settings are written on the page: sensible digits, plain words."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import yaml

from .data import JudgePair, Step

LABELS: Mapping[str, str] = {
    "vg": "VG (needs the video)",
    "ta": "TA (answerable from the text)",
    "conflict": "Conflict (the text points to a wrong option)",
    "full": "Full (all questions as they are)",
    "mix": "Mix (all questions as they are)",
}
DIMENSION_NAMES: Mapping[str, str] = {
    "label": "planted truth",
    "mechanism": "planted mechanism",
    "kind": "kind",
    "source": "source",
    "topic": "topic",
    "length": "length of the question, in characters",
    "options": "number of options",
}
CHECKPOINTS: Mapping[str, str] = {
    "start": "before training",
    "full": "trained on all questions",
    "filtered": "trained on the kept ones",
}


def count(number: int) -> str:
    """12345 as 12,345."""
    return f"{number:,}"


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 question, 2 questions."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def percent_bare(value: float) -> str:
    """A rate in 0..1 as percent without the sign, one decimal: its interval is seldom narrower."""
    return f"{100 * value:.1f}"


def percent(value: float) -> str:
    """A rate in 0..1 as percent."""
    return f"{percent_bare(value)}%"


def score(value: float) -> str:
    """A detector's score, two decimals."""
    return f"{value:.2f}"


def points(value: float) -> str:
    """A difference of two rates in percentage points, signed."""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def minus(text: str) -> str:
    """A sentence with its signed numbers written as in the tables."""
    return re.sub(r"[+−]0\.0(?!\d)", "0.0", re.sub(r"(?<![\w.)-])-(?=\d)", "−", text))


def signed(value: float) -> str:
    """A number that may be negative, such as κ, two decimals."""
    return f"{value:.2f}".replace("-", "−")


def shade(pair: JudgePair | None) -> str:
    """The class of a cell for a pair's κ, from k0 (none, or below 0.2) to k4 (0.8 and more)."""
    return f"k{min(4, max(0, int(5 * pair.kappa.value)))}" if pair and pair.kappa else "k0"


def probability(value: float) -> str:
    """A p-value, three decimals."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def auroc(value: float) -> str:
    """An AUROC, three decimals: near 1 two would hide what matters."""
    return f"{value:.3f}"


def metric(value: float) -> str:
    """Any other number: whole ones whole, others with three significant digits."""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.3g}"


def place(value: float) -> str:
    """A number in 0..1 as a place on a chart, kept inside it."""
    return f"{100 * min(1.0, max(0.0, value if math.isfinite(value) else 0.0)):.2f}%"


def label(name: str) -> str:
    """A split or planted truth in words."""
    return LABELS.get(name, name)


def dimension(name: str) -> str:
    """What a table of parts is split by."""
    return DIMENSION_NAMES.get(name, name)


def checkpoint_meaning(name: str) -> str:
    """What a known checkpoint is, in words; empty for others."""
    return CHECKPOINTS.get(name, "")


def series(name: str, index: int) -> str:
    """The style of an arm or checkpoint: the known ones look the same in every chart, others go by their place."""
    return f"s{list(CHECKPOINTS).index(name) if name in CHECKPOINTS else index % 4}"


def sort_dimensions(groups: Iterable[tuple[str, list[Any]]]) -> list[tuple[str, list[Any]]]:
    """Jinja's groups, in the order of `DIMENSION_NAMES`."""
    order = list(DIMENSION_NAMES)
    return sorted(groups, key=lambda group: order.index(group[0]) if group[0] in order else len(order))


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings as YAML, in the order in which they were saved."""
    return yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True, width=100).rstrip()


def command(step: Step) -> str:
    """The recorded command, quoted for a shell."""
    return shlex.join(step.argv)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "count": count,
    "counted": counted,
    "series": series,
    "percent": percent,
    "percent_bare": percent_bare,
    "score": score,
    "auroc": auroc,
    "points": points,
    "minus": minus,
    "signed": signed,
    "probability": probability,
    "shade": shade,
    "metric": metric,
    "place": place,
    "label": label,
    "dimension": dimension,
    "checkpoint_meaning": checkpoint_meaning,
    "sort_dimensions": sort_dimensions,
    "yaml": settings_text,
    "command": command,
}
