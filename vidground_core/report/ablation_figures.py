"""The geometry of an ablation's charts, worked out from the data; the templates only draw it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .ablation import AblationReport, Arm, Band, BandReport, Difference, Place
from .data import Estimate
from .figures import UNIT_METRICS
from .wording import metric

FULL = "full"
_LIMITS = (1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0, 75.0, 100.0)


@dataclass(frozen=True, slots=True)
class ForestBlock:
    """All comparisons of one place on one axis from −`limit` to `limit` points; rows are the differences of an arm, one a budget."""

    place: Place
    limit: float
    rows: tuple[tuple[str, tuple[Difference, ...]], ...]


@dataclass(frozen=True, slots=True)
class Strand:
    """A curve in a 100 × 100 square, y from above: `points` of its mean, `band` the outline from the lowest to the highest run."""

    name: str
    series: str
    points: str
    band: str


@dataclass(frozen=True, slots=True)
class ArmPlot:
    """The curves of one arm, one a budget, and the mean of the arm `full` for comparison (empty for itself); `text` says it in words."""

    arm: str
    strands: tuple[Strand, ...]
    reference: str
    text: str


@dataclass(frozen=True, slots=True)
class BandPlot:
    """One metric: a plot an arm, all on the same axes."""

    low: float
    high: float
    end: float
    plots: tuple[ArmPlot, ...]

    @property
    def legend(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Each style with the names of the curves that have it."""
        found: dict[str, dict[str, None]] = {}
        for strand in sorted((strand for plot in self.plots for strand in plot.strands), key=lambda strand: strand.series):
            found.setdefault(strand.series, {})[strand.name] = None
        return tuple((series, tuple(names)) for series, names in found.items())


def forest(data: AblationReport, against: str, places: Sequence[Place]) -> tuple[ForestBlock, ...]:
    """The comparisons with `against` in each of `places` that has any."""
    blocks = []
    for place in places:
        found = [each for each in data.differences if (each.against, each.place) == (against, place)]
        if found:
            widest = max(max(abs(each.low), abs(each.high), each.detectable or 0.0) for each in found)
            limit = next((limit for limit in _LIMITS if widest <= limit), _LIMITS[-1])
            arms = dict.fromkeys(each.arm for each in found)
            rows = tuple((arm, tuple(each for each in found if each.arm == arm)) for arm in arms)
            blocks.append(ForestBlock(place, limit, rows))
    return tuple(blocks)


def other_places(data: AblationReport) -> tuple[Place, ...]:
    """The places that stand for no arm."""
    return tuple(place for place in data.places if place not in data.standing)


def arms_under(data: AblationReport, budget: str) -> tuple[Arm, ...]:
    """The arms under a budget; of the start checkpoint, which has none, that is the empty name."""
    return tuple(arm for arm in data.arms if arm.budget == budget)


def band_plot(report: BandReport, budgets: Sequence[str]) -> BandPlot:
    """The curves of a metric, arm by arm on common axes; those of shares begin and end at full tenths."""
    every = [point for band in report.bands for point in band.points]
    low, high = min(point[2] for point in every), max(point[3] for point in every)
    if report.metric in UNIT_METRICS and low >= 0 and high <= 1:
        low, high = _tenths(low, high)
    elif low == high:
        low, high = low - 0.5, high + 0.5
    axes = (max(point[0] for point in every), low, high)
    reference = next((_line(band, axes) for band in report.bands if band.arm == FULL), "")
    arms = dict.fromkeys(band.arm for band in report.bands)
    styles = _styles(report.bands, budgets)
    plots = [_arm_plot(arm, [band for band in report.bands if band.arm == arm], styles, axes, reference) for arm in arms]
    return BandPlot(low, high, axes[0], tuple(plots))


def _styles(bands: Sequence[Band], budgets: Sequence[str]) -> dict[str, str]:
    """The style of each budget, then of the lengths that runs without one have, longest first; of four, so the last is shared."""
    others = dict.fromkeys(band.budget for band in bands if band.budget not in budgets)
    names = [*budgets, *sorted(others, key=lambda name: -int(re.sub(r"[^0-9]", "", name) or 0))]
    return {name: f"s{min(index, 3)}" for index, name in enumerate(names)}


def _tenths(low: float, high: float) -> tuple[float, float]:
    """The narrowest range from one tenth to another that holds both, within 0..1 and not empty."""
    below, above = max(0, math.floor(10 * low)), min(10, math.ceil(10 * high))
    return (below if below < above else max(0, above - 1)) / 10, (above if below < above else max(1, above)) / 10


def accuracy_axis(data: AblationReport, place: Place) -> tuple[float, float]:
    """From one full tenth to another, so that all arms' intervals in that place stand between."""
    found = [arm.accuracy[place] for arm in data.arms if place in arm.accuracy]
    return _tenths(max(0.0, min(each.low for each in found)), min(1.0, max(each.high for each in found)))


def on_axis(estimate: Estimate, axis: tuple[float, float]) -> Estimate:
    """The estimate as shares of an axis."""
    low, high = axis
    value, least, most = ((number - low) / (high - low) for number in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, least, most, estimate.n)


def _arm_plot(arm: str, bands: Sequence[Band], styles: Mapping[str, str], axes: tuple[float, float, float], reference: str) -> ArmPlot:
    strands = []
    for band in bands:
        above = [(at, high) for at, _, _, high in band.points]
        below = [(at, low) for at, _, low, _ in reversed(band.points)]
        strands.append(Strand(band.budget, styles[band.budget], _line(band, axes), _path([*above, *below], axes)))
    text = " ".join(f"{band.budget}: from {metric(band.first)} to {metric(band.last)}, {_runs(band.runs)}." for band in bands)
    return ArmPlot(arm, tuple(strands), "" if arm == FULL else reference, text)


def _runs(number: int) -> str:
    return "one run" if number == 1 else f"{number} runs"


def _line(band: Band, axes: tuple[float, float, float]) -> str:
    return _path([(at, mean) for at, mean, _, _ in band.points], axes)


def _path(points: Sequence[tuple[float, float]], axes: tuple[float, float, float]) -> str:
    end, low, high = axes
    return " ".join(f"{100 * at / (end or 1):.1f},{100 - 100 * (value - low) / (high - low):.1f}" for at, value in points)
