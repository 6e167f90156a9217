"""Drawing the figures of a paper: panels side by side that share their rows, at a column's or a page's width.

With matplotlib, but without pyplot and without the reader's own matplotlibrc, so the same data give the same bytes. Colours are Okabe and
Ito's, which colour-blind readers tell apart; what a colour says, a shape or place says too.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidground_core.errors import MissingBackendError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN, TEXT = 3.25, 6.875
FORMATS = ("svg", "pdf", "png")
DPI = 300
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_MARKERS = ("o", "s", "D", "^")
_FILLS = {"full": "beyond noise", "half": "unsure, or one seed", "none": "not shown"}
_FALLBACK = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Noto Sans Devanagari",
)
# Inches: a row, all that stands above and below the rows, and what an entry and a line of the legend take.
_ROW, _MARGIN, _LEGEND_ENTRY, _LEGEND_LINE = 0.19, 0.62, 1.5, 0.15
_LABEL = 34
# Points on either side of zero that an axis of differences shows at least.
_NARROWEST = 1.0
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
    """A value with its interval, on the axis' scale; `fill` is "full", "half" or "none", `detectable` half a band around zero."""

    value: float
    low: float
    high: float
    fill: str = "full"
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


def draw(chart: Chart, *, width: float | None = None) -> Figure:
    """Panels side by side. Raises MissingBackendError without matplotlib."""
    with _styled():
        from matplotlib.figure import Figure

        wide = width or (COLUMN if len(chart.panels) == 1 else TEXT)
        rows = len(chart.rows) * max(1.0, 0.62 * len(chart.series))
        handles = _handles(chart)
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
    axis.locator_params(axis="x", nbins=5 if len(chart.panels) == 1 else 4, steps=[1, 2, 5, 10])
    axis.grid(axis="x", color="#dddddd", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.tick_params(axis="y", length=0)
    axis.spines[["left", "right", "top"]].set_visible(False)
    if chart.percent:
        axis.set_xlim(0, 100)
        axis.set_xticks((0, 25, 50, 75, 100))
    else:
        low, high = axis.get_xlim()
        axis.set_xlim(min(low, -_NARROWEST), max(high, _NARROWEST))


def _offset(chart: Chart, series: str) -> float:
    """Where a series' marks stand around the middle of the row."""
    number = len(chart.series)
    return 0.0 if number == 1 else 0.56 * (chart.series.index(series) / (number - 1) - 0.5)


def _mark(axis: Axes, mark: Mark, y: float, index: int) -> None:
    colour, marker = _COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)]
    if mark.detectable is not None:
        axis.plot([-mark.detectable, mark.detectable], [y, y], color="#d0d0d0", linewidth=4.2, solid_capstyle="butt", zorder=1)
    axis.plot([mark.low, mark.high], [y, y], color=colour, linewidth=1.1, zorder=3)
    shape = {"marker": marker, "markersize": 3.6, "markeredgewidth": 0.9, **_filled(mark.fill, colour)}
    axis.plot([mark.value], [y], color=colour, zorder=4, **shape)


def _filled(fill: str, colour: str) -> dict[str, Any]:
    """A shape in its colour, in the left half of it, or in white."""
    face = "white" if fill == "none" else colour
    half = {"fillstyle": "left", "markerfacecoloralt": "white"} if fill == "half" else {}
    return {"markerfacecolor": face, "markeredgecolor": colour, **half}


def _handles(chart: Chart) -> list[Any]:
    """What the legend says that the axes do not."""
    from matplotlib.lines import Line2D

    handles = []
    for index, name in enumerate(chart.series if len(chart.series) > 1 else ()):
        colour, marker = _COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)]
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=3.6, linewidth=1.1, label=shown(name)))
    if chart.percent:
        dashed = any(panel.reference is not None for panel in chart.panels)
        return [*handles, Line2D([], [], color="black", linewidth=0.8, linestyle=(0, (3, 2)), label="chance")] if dashed else handles
    marks = [mark for panel in chart.panels for mark in panel.marks.values()]
    for fill, name in _FILLS.items():
        if any(mark.fill == fill for mark in marks):
            shape = {"marker": "o", "markersize": 3.6, **_filled(fill, "#555555")}
            handles.append(Line2D([], [], color="#555555", linewidth=1.1, label=name, **shape))
    if any(mark.detectable is not None for mark in marks):
        handles.append(Line2D([], [], color="#d0d0d0", linewidth=4.2, label="not detectable (80% power)"))
    return handles


def shown(text: str, limit: int = _LABEL) -> str:
    """A name as one line of at most `limit` signs; what has no shape, or would turn the line around, becomes a space."""
    plain = "".join(" " if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") else sign for sign in text)
    line = " ".join(plain.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def save_figure(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS) -> tuple[Path, ...]:
    """Writes `stem`.svg, .pdf and .png (300 dots an inch); returns the paths. The same figure gives the same bytes.

    Warns once where the fonts here have no shape for a sign of the names.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    with _styled(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for form in formats:
            path = stem.with_name(f"{stem.name}.{form}")
            undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form, {})
            figure.savefig(path, format=form, dpi=DPI, metadata=undated)
            paths.append(path)
    if any("missing from font" in str(each.message) for each in caught):
        text = "the fonts here lack signs of some names, which are boxes in the figure; install Noto Sans CJK or another font that has them"
        warnings.warn(f"{stem.name}: {text}", UserWarning, stacklevel=2)
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
        matplotlib.rcParams.update(_STYLE | {"font.family": [*_STYLE["font.family"], *_fallback()]})
        yield


def _fallback() -> list[str]:
    """Fonts that are here and have the signs that the first one lacks."""
    from matplotlib.font_manager import get_font_names

    there = set(get_font_names())
    return [name for name in _FALLBACK if name in there]
