"""Audits as CSV and LaTeX: one table of judges in full, or judges by benchmarks where there are several, and the judges in pairs.

All functions take the objects that `vg audit --json` prints, one a data set.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from vidground_core.experiments.latex import escape, fitted_table

Audit = Mapping[str, Any]

RATES = ("accuracy", "gain", "corrected", "attempted", "attempted_gain")
SHARES = ("answered", "refused", "unparsed", "failed")
PAIR_COUNTS = ("n", "both", "first_only", "second_only", "neither")
PAIR_RATES = ("kappa", "jaccard_vg", "difference", "shortcut_difference")
_LATIN = 0x17F


def short_names(datasets: Sequence[str]) -> tuple[str, ...]:
    """A short name a data set: the loader's where it is the only one of its kind, else with the last part of its path, else all of it."""
    ways: tuple[Callable[[str], str], ...] = (_loader, _loader_and_file, str)
    names = [[way(dataset) for way in ways] for dataset in datasets]
    taken = [Counter(column) for column in zip(*names, strict=True)]
    return tuple(next((name for name, count in zip(row, taken, strict=True) if count[name] == 1), row[-1]) for row in names)


def _loader(dataset: str) -> str:
    name, colon, _ = dataset.partition(":")
    return name if colon else PurePath(dataset).name


def _loader_and_file(dataset: str) -> str:
    name, _, path = dataset.partition(":")
    return f"{name}:{PurePath(path).name}"


def judges_csv(audits: Sequence[Audit]) -> str:
    """One row a data set and judge, then the baselines; rates in 0..1, empty where there is none."""
    rates = [column for name in RATES for column in (name, f"{name}_low", f"{name}_high")]
    rows = [
        (
            *(audit["dataset"], row["name"], kind, row["n"], row["chance"]),
            *_bounds(row, RATES),
            *(row[name] for name in (*SHARES, "reading", "note")),
        )
        for audit in audits
        for kind, part in (("judge", "judges"), ("baseline", "baselines"))
        for row in audit[part]
    ]
    return _csv(["dataset", "judge", "sort", "n", "chance", *rates, *SHARES, "reading", "note"], rows)


def agreement_csv(audits: Sequence[Audit]) -> str:
    """One row a data set and pair of judges."""
    rates = [column for name in PAIR_RATES for column in (name, f"{name}_low", f"{name}_high")]
    rows = [
        (
            *(audit["dataset"], pair["first"], pair["second"]),
            *(pair[name] for name in (*PAIR_COUNTS, "overlap")),
            *_bounds(pair, PAIR_RATES),
            pair["mcnemar_p"],
        )
        for audit in audits
        for pair in audit["agreement"]
    ]
    return _csv(["dataset", "first", "second", *PAIR_COUNTS, "overlap", *rates, "mcnemar_p"], rows)


def _bounds(row: Mapping[str, Any], names: Sequence[str]) -> list[float | None]:
    found: list[float | None] = []
    for name in names:
        low, high = row["interval" if name == "accuracy" else f"{name}_interval"] or (None, None)
        found += [row[name], low, high]
    return found


def _csv(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    return text.getvalue()


def matrix(audits: Sequence[Audit]) -> list[tuple[str, list[Mapping[str, Any] | None]]]:
    """The form of the paper's Table 1: each judge's line in every audit, None where it is not in one; judges in the order met."""
    lines = [{row["name"]: row for row in audit["judges"]} for audit in audits]
    names = dict.fromkeys(name for found in lines for name in found)
    return [(name, [found.get(name) for found in lines]) for name in names]


def latex(audits: Sequence[Audit]) -> str:
    """Tables for `booktabs` and `graphicx`, in per cent: one of the judges, and one of agreement for each audit with two judges or more."""
    tables = [_one_benchmark(audits[0]) if len(audits) == 1 else _benchmarks(audits)]
    names = short_names([audit["dataset"] for audit in audits])
    tables += [_pairs(audit, name) for audit, name in zip(audits, names, strict=True) if audit["agreement"]]
    text = "\n".join(tables)
    other = "" if all(ord(sign) <= _LATIN for sign in text) else "% has letters that pdflatex lacks: use lualatex and a font with them\n"
    return f"% needs \\usepackage{{booktabs,graphicx}}\n{other}{text}"


def _benchmarks(audits: Sequence[Audit]) -> str:
    names = short_names([audit["dataset"] for audit in audits])
    rows = [["chance", *(_percent(audit["chance"]) for audit in audits)]]
    rows += [[escape(name), *("--" if row is None else _with_interval(row, "accuracy") for row in cells)] for name, cells in matrix(audits)]
    header = ["Judge", *(f"{escape(name)} ($n={audit['questions']}$)" for name, audit in zip(names, audits, strict=True))]
    return fitted_table("Accuracy without watching, in per cent, with 95\\% intervals that resample videos.", header, rows, rule_after=1)


def _one_benchmark(audit: Audit) -> str:
    header = ["Judge", "$n$", "Accuracy", "Chance", "Gain", "Corrected", "Refused", "Unparsed", "Failed"]
    rows = [
        (
            *(escape(row["name"]), str(row["n"]), _with_interval(row, "accuracy"), _percent(row["chance"])),
            *(_with_interval(row, name) for name in ("gain", "corrected")),
            *(_percent(row[share]) for share in SHARES[1:]),
        )
        for row in (*audit["judges"], *audit["baselines"])
    ]
    (name,) = short_names([audit["dataset"]])
    caption = f"{escape(name)}: accuracy without watching, in per cent, with 95\\% intervals that resample videos."
    return fitted_table(caption, header, rows, rule_after=len(audit["judges"]))


def _pairs(audit: Audit, name: str) -> str:
    header = ["First", "Second", "$n$", "Overlap", "$\\kappa$", "VG Jaccard", "Difference", "McNemar $p$", "$\\Delta$ score"]
    rows = [
        (
            *(escape(pair["first"]), escape(pair["second"]), str(pair["n"]), _percent(pair["overlap"]), _number(pair["kappa"])),
            *(_percent(pair["jaccard_vg"]), _with_interval(pair, "difference"), _probability(pair["mcnemar_p"])),
            _with_interval(pair, "shortcut_difference"),
        )
        for pair in audit["agreement"]
    ]
    caption = f"{escape(name)}: agreement of the judges; overlap, Jaccard and difference of the shares answered in per cent;"
    caption += " $\\Delta$ score: the first's mean score less the second's, in points."
    return fitted_table(caption, header, rows)


def _percent(value: float | None) -> str:
    return "--" if value is None else _minus(f"{100 * value:.1f}")


def _number(value: float | None) -> str:
    return "--" if value is None else _minus(f"{value:.2f}")


def _probability(value: float | None) -> str:
    return "--" if value is None else "$<.001$" if value < 0.001 else f"{value:.3f}"


def _with_interval(row: Mapping[str, Any], name: str) -> str:
    value, low, high = _bounds(row, [name])
    return "--" if value is None else f"{_percent(value)} {{\\small [{_percent(low)}, {_percent(high)}]}}"


def _minus(text: str) -> str:
    return f"$-${text[1:]}" if text.startswith("-") else text
