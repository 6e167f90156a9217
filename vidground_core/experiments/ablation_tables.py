"""An ablation as CSV and LaTeX: arms, differences, and the form of the paper's Tables 2 to 4."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidground_core.experiments.audit_tables import short_names
from vidground_core.experiments.latex import escape, fitted_table

Result = Mapping[str, Any]
MEAN = "mean"
ARMS, DIFFERENCES, LATEX = "arms.csv", "differences.csv", "tables.tex"
_PLACE = ("benchmark", "frames", "split")
_ARM = ("n", "groups", "seeds", "accuracy", "low", "high", "error", "deviation")
_DIFFERENCE = ("n", "groups", "seeds", "points", "low", "high", "error", "deviation", "p", "p_adjusted", "p_seeds")
_COUNTS = ("gained", "lost", "mcnemar", "detectable")


def write_tables(result: Result, out: Path) -> list[Path]:
    """Writes `tables/arms.csv`, `tables/differences.csv` and `tables/tables.tex`; returns their paths."""
    folder = out / "tables"
    folder.mkdir(exist_ok=True)
    texts = {ARMS: arms_csv(result), DIFFERENCES: differences_csv(result), LATEX: latex(result)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def arms_csv(result: Result) -> str:
    """One row an arm, budget and place; accuracies in 0..1."""
    rows = [
        [arm["name"], arm["budget"], *(place[key] for key in _PLACE), *(_value(place, key) for key in _ARM)]
        for arm in result["arms"]
        for place in arm["places"]
    ]
    return _csv(["arm", "budget", *_PLACE, *_ARM], rows)


def differences_csv(result: Result) -> str:
    """One row a pair of arms, budget and place; differences in percentage points."""
    keys = (*_DIFFERENCE, *_COUNTS)
    rows = [
        [each["arm"], each["against"], each["budget"], *(each[key] for key in _PLACE), *(_value(each, key) for key in keys)]
        for each in result["differences"]
    ]
    return _csv(["arm", "against", "budget", *_PLACE, *keys], rows)


def _value(row: Mapping[str, Any], key: str) -> Any:
    return row["interval"][key == "high"] if key in ("low", "high") else row[key]


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    return text.getvalue()


def latex(result: Result) -> str:
    """For each budget accuracies in the form of the paper's Tables 2 to 4, and differences with what could be seen."""
    tables = [table for budget in result["protocol"]["budgets"] for table in _of_budget(result, budget)]
    return "% needs \\usepackage{booktabs,graphicx}\n" + "\n".join(tables)


def _of_budget(result: Result, budget: str) -> Iterator[str]:
    arms = [arm for arm in result["arms"] if arm["budget"] in (budget, "")]
    if arms:
        yield _accuracy_table(arms, budget)
    differences = [each for each in result["differences"] if each["budget"] == budget]
    for against in dict.fromkeys(each["against"] for each in differences):
        yield _difference_table([each for each in differences if each["against"] == against], against, budget)


def _accuracy_table(arms: Sequence[Mapping[str, Any]], budget: str) -> str:
    """Frames, arm, each benchmark in full, then every split as a mean over benchmarks (or of the only one)."""
    places = [place for arm in arms for place in arm["places"]]
    benchmarks = [name for name in dict.fromkeys(place["benchmark"] for place in places) if name != MEAN]
    columns = [(name, "full") for name in benchmarks] if len(benchmarks) > 1 else []
    columns += [(_standing(places, split), split) for split in dict.fromkeys(place["split"] for place in places)]
    short = dict(zip(benchmarks, short_names(benchmarks), strict=True))
    header = ["Frames", "Arm", *(_heading(short, name, split, single=len(benchmarks) == 1) for name, split in columns)]
    rows = []
    for frames in dict.fromkeys(place["frames"] for place in places):
        for arm in arms:
            cells = {(p["benchmark"], p["split"]): p for p in arm["places"] if p["frames"] == frames}
            rows.append([str(frames), escape(arm["name"]), *(_accuracy(cells.get(column)) for column in columns)])
    seeds = max((len(arm["seeds"]) for arm in arms), default=0)
    caption = f"Accuracy in per cent, budget {escape(budget)}, mean of up to {seeds} seeds; $\\pm$ is the bootstrap standard error."
    return fitted_table(caption, header, rows, left=2)


def _standing(places: Sequence[Mapping[str, Any]], split: str) -> str:
    names = list(dict.fromkeys(place["benchmark"] for place in places if place["split"] == split))
    return MEAN if MEAN in names else str(names[0])


def _heading(short: Mapping[str, str], name: str, split: str, *, single: bool) -> str:
    if split == "full" and name != MEAN and not single:
        return escape(short[name])
    label = {"full": "Full", "vg": "VG", "ta": "TA"}.get(split, split.capitalize())
    return escape(label)


def _accuracy(cell: Mapping[str, Any] | None) -> str:
    return "--" if cell is None else f"{100 * cell['accuracy']:.1f} {{\\small $\\pm$ {100 * cell['error']:.1f}}}"


def _difference_table(differences: Sequence[Mapping[str, Any]], against: str, budget: str) -> str:
    names = list(dict.fromkeys(each["benchmark"] for each in differences))
    short = dict(zip(names, short_names(names), strict=True))
    several = len({each["frames"] for each in differences}) > 1
    header = ["Arm", "Benchmark", "Split", "Points", "95\\% interval", "$p$", "$p$ (Holm)", "Detectable"]
    rows = [
        [
            escape(each["arm"]),
            escape(short[each["benchmark"]] + (f", {each['frames']} frames" if several else "")),
            escape(each["split"]),
            _signed(each["points"]),
            f"[{_signed(each['interval'][0])}, {_signed(each['interval'][1])}]",
            _probability(each["p"]),
            _probability(each["p_adjusted"]),
            "--" if each["detectable"] is None else f"{each['detectable']:.1f}",
        ]
        for each in differences
    ]
    caption = (
        f"Paired differences to {escape(against)} in percentage points, budget {escape(budget)}: hierarchical bootstrap over seeds and "
        "videos; detectable is the true difference found beyond noise with a chance of about 80\\%."
    )
    return fitted_table(caption, header, rows, left=3)


def _signed(value: float) -> str:
    return f"${value:+.1f}$"


def _probability(value: float) -> str:
    return "$<.001$" if value < 0.001 else f"{value:.3f}"
