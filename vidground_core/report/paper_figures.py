"""The two figures a paper needs: accuracy or TA rate without watching, and the forest plot of an ablation's differences.

They need matplotlib (extra `figures`). From Python: `save_figure(forest_plot(result), Path("forest"))`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidground_core.errors import InputError, nearest
from vidground_core.experiments.ablation_verdict import finding

from .ablation import FILLS, MEAN
from .ablation_words import budget
from .collect import collect
from .data import ReportData
from .paper_drawing import COLUMN, TEXT, Chart, Mark, Panel, draw, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLUMN", "TEXT", "forest_chart", "forest_plot", "save_figure", "standing_places", "ta_chart", "ta_rates", "write_figures"]

Place = tuple[str, int, str]

_SPLITS = {"vg": "VG", "ta": "TA", "conflict": "Conflict", "full": "Full"}


def write_figures(directory: Path, out: Path) -> tuple[Path, ...]:
    """Draws every figure that the run in `directory` has data for into the folder `out`; returns the paths.

    `ta-rates` for detections, filters, audits and whole runs; for an ablation also `forest-NAME` for each arm that the others are compared
    with. Each as SVG, PDF and PNG. Raises InputError where there is none to draw or `out` can be no folder,
    MissingBackendError without matplotlib.
    """
    data = collect(directory)
    figures: dict[str, Chart] = {}
    if any(detector.rate for detector in data.detectors) or any(judge.accuracy for audit in data.audits for judge in audit.judges):
        figures["ta-rates"] = ta_chart(data)
    if data.ablation:
        result = json.loads((directory / "results.json").read_text(encoding="utf-8")) if data.ablation.against else {}
        for name in data.ablation.against:
            figures[f"forest-{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}"] = forest_chart(result, against=name)
    if not figures:
        verb = data.steps[0].verb if data.steps else "run"
        raise InputError(
            f"{str(directory)!r}: vg {verb} has left nothing to draw: no verdicts of a detector or judge, no differences of arms"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{str(out)!r} cannot be made a folder for the figures: {error.strerror}; name another") from error
    return tuple(path for stem, chart in figures.items() for path in save_figure(draw(chart), out / stem))


def forest_plot(
    result: Mapping[str, Any],
    *,
    against: str = "full",
    budgets: Sequence[str] = (),
    panels: Mapping[Place, str] | None = None,
    width: float | None = None,
) -> Figure:
    """The differences of all arms to `against`, in percentage points with 95 % intervals, from the object of `vg ablate --json`.

    Filled marks are beyond noise, as `vg ablate` says it in words: p after Holm is below 5 % and so is that of a t-test over seeds. Half
    filled ones have only the first (too few seeds, or one); hollow ones show no difference. The pale band is what the design could not have
    seen with a chance of 80 %. One mark a budget (all by default), one panel a place (benchmark, frames, split), which `panels` chooses and
    titles; by default each split once.
    `width` in inches: by default a column's for one panel, a page's for more. Raises InputError where there is nothing to draw.
    """
    return draw(forest_chart(result, against=against, budgets=budgets, panels=panels), width=width)


def forest_chart(
    result: Mapping[str, Any], *, against: str = "full", budgets: Sequence[str] = (), panels: Mapping[Place, str] | None = None
) -> Chart:
    """What `forest_plot` draws, as data."""
    every = list(result["differences"])
    there = list(dict.fromkeys(str(each["against"]) for each in every))
    if against not in there:
        raise InputError(f"no arm is compared with {against!r}: {nearest(against, there) if there else 'no two arms have a finished seed'}")
    chosen = [each for each in every if each["against"] == against and (not budgets or each["budget"] in budgets)]
    titles = panels or standing_places(chosen)
    marks: dict[Place, dict[tuple[str, str], Mark]] = {place: {} for place in titles}
    for each in chosen:
        if place_of(each) in marks:
            marks[place_of(each)][str(each["arm"]), budget(str(each["budget"]))] = _difference(each)
    drawn = tuple(Panel(title, marks[place], reference=0.0) for place, title in titles.items() if marks[place])
    if not drawn:
        places = [place_of(each) for each in chosen]
        raise InputError(f"no difference to {against!r} in {sorted(titles)}; there is: {sorted(set(places)) or 'none'}")
    keys = [key for panel in drawn for key in panel.marks]
    return Chart(
        rows=tuple(arm for arm in dict.fromkeys(str(each["arm"]) for each in chosen) if any(row == arm for row, _ in keys)),
        series=tuple(dict.fromkeys(series for _, series in keys)),
        panels=drawn,
        xlabel=f"difference to {against}, percentage points",
    )


def place_of(row: Mapping[str, Any]) -> Place:
    """Where a difference or accuracy was measured: benchmark, frames, split."""
    return str(row["benchmark"]), int(row["frames"]), str(row["split"])


def standing_places(rows: Sequence[Mapping[str, Any]]) -> dict[Place, str]:
    """Each split's place that stands for it, with a title: the mean over benchmarks, or the only one, at the first number of frames."""
    places = list(dict.fromkeys(place_of(row) for row in rows))
    found: dict[str, Place] = {}
    for place in sorted(places, key=lambda place: place[0] != MEAN):
        if place[1] == places[0][1]:
            found.setdefault(place[2], place)
    order = [*_SPLITS, *found]
    return {found[split]: split_title(split) for split in sorted(found, key=order.index)}


def split_title(split: str) -> str:
    """A split as a heading."""
    return _SPLITS.get(split, split)


def _difference(row: Mapping[str, Any]) -> Mark:
    low, high = row["interval"]
    return Mark(row["points"], low, high, fill=FILLS.get(finding(row), "none"), detectable=row["detectable"])


def ta_rates(data: ReportData, *, width: float | None = None) -> Figure:
    """Accuracy without watching of every judge on every benchmark of an audit, or the TA rate of every detector of another run.

    In per cent with 95 % intervals; the dashed line is chance, the mean of 1/number of options. One panel a benchmark. Raises InputError
    where nothing was judged.
    """
    return draw(ta_chart(data), width=width)


def _dataset(data: ReportData) -> str:
    """The data set that the detectors judged, as it is named on the command line; the directory's name where no step says it."""
    for step in data.steps:
        named = step.resolved.get("dataset")
        if isinstance(named, Mapping) and named.get("name"):
            return ":".join(str(named[key]) for key in ("name", "path") if named.get(key))
    return data.name


def ta_chart(data: ReportData) -> Chart:
    """What `ta_rates` draws, as data."""
    if data.audits:
        named = [
            (one.name, one.chance, [(judge.name, judge.accuracy) for judge in one.judges if not judge.baseline]) for one in data.audits
        ]
        xlabel = "accuracy without watching, %"
    else:
        chance = next((one.chance for one in data.detectors if one.rate), None)
        named = [(_dataset(data), chance, [(one.name, one.rate) for one in data.detectors])]
        xlabel = "answered without watching, %"
    panels = []
    for title, chance, rates in named:
        marks = {(name, ""): Mark(100 * rate.value, 100 * rate.low, 100 * rate.high) for name, rate in rates if rate}
        if marks:
            panels.append(Panel(title, marks, reference=None if chance is None else 100 * chance))
    if not panels:
        raise InputError(f"{data.name!r} has no detector or judge that said yes or no, so there is no TA rate to draw")
    rows = tuple(dict.fromkeys(row for panel in panels for row, _ in panel.marks))
    return Chart(rows, ("",), tuple(panels), xlabel, percent=True)
