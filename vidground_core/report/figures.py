"""The geometry of the charts, worked out from the data; the templates only draw it."""

from __future__ import annotations

from dataclasses import dataclass

from .data import DetectorReport, TrainingReport
from .wording import label, metric, series

UNIT_METRICS = ("reward", "frac_reward_zero_std")


@dataclass(frozen=True, slots=True)
class Box:
    """One piece of a stacked bar; x in bins, y and height in percent of the highest bar, y from above."""

    series: str
    x: float
    y: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class StackedBars:
    """A histogram; `legend` is (series, name), empty for a single series; `text` says the same in words."""

    bins: int
    highest: int
    boxes: tuple[Box, ...]
    legend: tuple[tuple[str, str], ...]
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A curve as SVG points in a 100 × 100 square, y from above."""

    series: str
    points: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves and the ranges of their axes."""

    low: float
    high: float
    first: float
    last: float
    lines: tuple[Line, ...]


def series_of(name: str) -> str:
    """The style of a planted label's bars."""
    return name if name in ("vg", "ta", "conflict") else "none"


def stacked(detector: DetectorReport) -> StackedBars:
    """The detector's histograms stacked on each other, one colour a planted label."""
    histograms = detector.histograms
    if not histograms:
        return StackedBars(1, 0, (), (), "No scores.")
    bins = len(histograms[0].counts)
    highest = max(sum(histogram.counts[i] for histogram in histograms) for i in range(bins))
    boxes = []
    for i in range(bins):
        below = 0
        for histogram in histograms:
            number = histogram.counts[i]
            top, below = below + number, below + number
            if number:
                title = f"{i / bins:.2f} to {(i + 1) / bins:.2f}: {number:,}" + (f" {label(histogram.label)}" if histogram.label else "")
                boxes.append(Box(series_of(histogram.label), i + 0.05, 100 - 100 * top / highest, 100 * number / highest, title))
    named = tuple((series_of(histogram.label), label(histogram.label)) for histogram in histograms if histogram.label)
    return StackedBars(bins, highest, tuple(boxes), named, " ".join(f"{box.title}." for box in boxes))


def plot(report: TrainingReport) -> Plot:
    """The curves of a metric on common axes; shares stand on 0 to 1."""
    points = [point for curve in report.curves for point in curve.points]
    first, last = min(step for step, _ in points), max(step for step, _ in points)
    low, high = min(value for _, value in points), max(value for _, value in points)
    if report.metric in UNIT_METRICS and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low == high:
        low, high = low - 0.5, high + 0.5
    width, height = (last - first) or 1.0, high - low
    lines = tuple(
        Line(
            series(curve.arm, i),
            " ".join(f"{100 * (step - first) / width:.2f},{100 - 100 * (value - low) / height:.2f}" for step, value in curve.points),
        )
        for i, curve in enumerate(report.curves)
    )
    return Plot(low, high, first, last, lines)


def curves_text(report: TrainingReport) -> str:
    """The curves in words."""
    return " ".join(f"{curve.arm}: from {metric(curve.first)} to {metric(curve.last)}." for curve in report.curves)
