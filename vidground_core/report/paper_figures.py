"""The two figures a paper needs: accuracy or TA rate without watching, and the forest plot of an ablation's differences.

Drawn with matplotlib (extra `figures`), without pyplot and without the reader's own matplotlibrc, so the same data give the same bytes.
Colours are Okabe and Ito's, which colour-blind readers tell apart; what a colour says, shape or place says too.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidground_core.errors import InputError, MissingBackendError, nearest

from .data import ReportData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Place = tuple[str, int, str]

COLUMN, TEXT = 3.25, 6.875
FORMATS = ("svg", "pdf", "png")
DPI = 300
MEAN = "mean"
ALPHA = 0.05
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_MARKERS = ("o", "s", "D", "^")
_SPLITS = {"vg": "VG", "ta": "TA", "conflict": "Conflict", "full": "Full"}
# Inches: a row, all that stands above and below the rows, and what an entry and a line of the legend take.
_ROW, _MARGIN, _LEGEND_ENTRY, _LEGEND_LINE = 0.19, 0.62, 1.5, 0.15
_LABEL = 34
_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 7.0,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.0,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.4,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "text.parse_math": False,
    "text.usetex": False,
    # Glyphs as outlines look the same on every machine; 42 embeds TrueType in PDF, as publishers ask.
    "svg.fonttype": "path",
    "svg.hashsalt": "vidground",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A value with its interval, on the axis' scale. `solid` marks what is significant; `detectable` is half a band around zero."""

    value: float
    low: float
    high: float
    solid: bool = True
    detectable: float | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """One axis: `marks` by (row, series); `reference` is where its dashed line stands."""

    title: str
    marks: Mapping[tuple[str, str], Mark]
    reference: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """Panels side by side that share their rows; `percent` sets their axes to 0..100."""

    rows: tuple[str, ...]
    series: tuple[str, ...]
    panels: tuple[Panel, ...]
    xlabel: str
    percent: bool = False


def forest_plot(
    result: Mapping[str, Any],
    *,
    against: str = "full",
    budgets: Sequence[str] = (),
    panels: Mapping[Place, str] | None = None,
    width: float | None = None,
) -> Figure:
    """The differences of all arms to `against`, in percentage points with 95 % intervals, from the object of `vg ablate --json`.

    Filled marks are significant after Holm at 5 %; the pale band is what the design could not have seen with a chance of 80 %. One mark a
    budget (all by default), one panel a place (benchmark, frames, split), which `panels` chooses and titles; by default each split once.
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
            marks[place_of(each)][str(each["arm"]), str(each["budget"])] = _difference(each)
    drawn = tuple(Panel(title, marks[place], reference=0.0) for place, title in titles.items() if marks[place])
    if not drawn:
        places = [place_of(each) for each in chosen]
        raise InputError(f"no difference to {against!r} in {sorted(titles)}; there is: {sorted(set(places)) or 'none'}")
    keys = [key for panel in drawn for key in panel.marks]
    return Chart(
        rows=tuple(arm for arm in dict.fromkeys(str(each["arm"]) for each in chosen) if any(row == arm for row, _ in keys)),
        series=tuple(dict.fromkeys(budget for _, budget in keys)),
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
    return Mark(row["points"], low, high, solid=row["p_adjusted"] < ALPHA, detectable=row["detectable"])


def ta_rates(data: ReportData, *, width: float | None = None) -> Figure:
    """Accuracy without watching of every judge on every benchmark of an audit, or the TA rate of every detector of another run.

    In per cent with 95 % intervals; the dashed line is chance, the mean of 1/number of options. One panel a benchmark. Raises InputError
    where nothing was judged.
    """
    return draw(ta_chart(data), width=width)


def ta_chart(data: ReportData) -> Chart:
    """What `ta_rates` draws, as data."""
    if data.audits:
        named = [
            (one.name, one.chance, [(judge.name, judge.accuracy) for judge in one.judges if not judge.baseline]) for one in data.audits
        ]
        xlabel = "accuracy without watching, %"
    else:
        chance = next((one.chance for one in data.detectors if one.rate), None)
        named = [(data.name, chance, [(one.name, one.rate) for one in data.detectors])]
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


def draw(chart: Chart, *, width: float | None = None) -> Figure:
    """Panels side by side. Raises MissingBackendError without matplotlib."""
    with _styled():
        from matplotlib.figure import Figure

        wide = width or (COLUMN if len(chart.panels) == 1 else TEXT)
        rows = len(chart.rows) * max(1.0, 0.62 * len(chart.series))
        handles = _handles(chart) if _legend(chart) else []
        columns = max(1, round(wide / _LEGEND_ENTRY))
        figure = Figure(figsize=(wide, _MARGIN + _ROW * rows + _LEGEND_LINE * -(-len(handles) // columns)), layout="constrained")
        axes = figure.subplots(1, len(chart.panels), sharey=True, squeeze=False)[0]
        for axis, panel in zip(axes, chart.panels, strict=True):
            _panel(axis, chart, panel)
        axes[0].set_yticks(range(len(chart.rows)), [shown(row) for row in chart.rows])
        axes[0].set_ylim(len(chart.rows) - 0.5, -0.5)
        if len(chart.panels) == 1:
            axes[0].set_xlabel(shown(chart.xlabel, 60))
        else:
            figure.supxlabel(shown(chart.xlabel, 90), fontsize=7.0)
        if handles:
            figure.legend(handles=handles, loc="outside upper center", ncols=min(columns, len(handles)))
        return figure


def _panel(axis: Axes, chart: Chart, panel: Panel) -> None:
    axis.set_title(shown(panel.title), pad=4)
    for index in range(0, len(chart.rows), 2):
        axis.axhspan(index - 0.5, index + 0.5, color="#f7f7f7", linewidth=0, zorder=0)
    if panel.reference is not None:
        axis.axvline(panel.reference, color="black", linewidth=0.8, linestyle=(0, (3, 2)), zorder=2)
    places = {name: index for index, name in enumerate(chart.rows)}
    for (row, series), mark in panel.marks.items():
        _mark(axis, mark, places[row] + _offset(chart, series), chart.series.index(series))
    axis.locator_params(axis="x", nbins=5)
    axis.grid(axis="x", color="#dddddd", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.tick_params(axis="y", length=0)
    axis.spines[["left", "right", "top"]].set_visible(False)
    if chart.percent:
        axis.set_xlim(0, 100)


def _offset(chart: Chart, series: str) -> float:
    """Where a series' marks stand around the middle of the row."""
    number = len(chart.series)
    return 0.0 if number == 1 else 0.56 * (chart.series.index(series) / (number - 1) - 0.5)


def _mark(axis: Axes, mark: Mark, y: float, index: int) -> None:
    colour, marker = _COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)]
    if mark.detectable is not None:
        axis.plot([-mark.detectable, mark.detectable], [y, y], color="#d0d0d0", linewidth=4.2, solid_capstyle="butt", zorder=1)
    axis.plot([mark.low, mark.high], [y, y], color=colour, linewidth=1.1, zorder=3)
    face = colour if mark.solid else "white"
    axis.plot([mark.value], [y], marker=marker, markersize=3.6, markerfacecolor=face, markeredgecolor=colour, markeredgewidth=0.9, zorder=4)


def _legend(chart: Chart) -> bool:
    """Whether a legend says more than the axes do."""
    return len(chart.series) > 1 or not chart.percent


def _handles(chart: Chart) -> list[Any]:
    from matplotlib.lines import Line2D

    handles = []
    for index, name in enumerate(chart.series if len(chart.series) > 1 else ()):
        colour = _COLOURS[index % len(_COLOURS)]
        handles.append(
            Line2D([], [], color=colour, marker=_MARKERS[index % len(_MARKERS)], markersize=3.6, linewidth=1.1, label=shown(name))
        )
    marks = [mark for panel in chart.panels for mark in panel.marks.values()]
    for solid, name in ((True, "significant (Holm, 5%)"), (False, "not significant")):
        if any(mark.solid is solid for mark in marks):
            face = "#555555" if solid else "white"
            handles.append(Line2D([], [], color="#555555", marker="o", markersize=3.6, markerfacecolor=face, linewidth=1.1, label=name))
    if any(mark.detectable is not None for mark in marks):
        handles.append(Line2D([], [], color="#d0d0d0", linewidth=4.2, label="not detectable (80% power)"))
    return handles


def shown(text: str, limit: int = _LABEL) -> str:
    """A name as one line of at most `limit` signs; what has no shape, or would turn the line around, becomes a space."""
    plain = "".join(" " if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") else sign for sign in text)
    line = " ".join(plain.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def save_figure(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS) -> tuple[Path, ...]:
    """Writes `stem`.svg, .pdf and .png (300 dots an inch); returns the paths. The same figure gives the same bytes."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    with _styled():
        for form in formats:
            path = stem.with_name(f"{stem.name}.{form}")
            undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form, {})
            figure.savefig(path, format=form, dpi=DPI, metadata=undated)
            paths.append(path)
    return tuple(paths)


@contextmanager
def _styled() -> Iterator[None]:
    """matplotlib's own defaults with `_STYLE`, whatever the reader's settings are; both come back at the end."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingBackendError(
            "the figures of a paper need matplotlib, which is not installed here; pip install 'vidground-core[figures]'"
        ) from error

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield
