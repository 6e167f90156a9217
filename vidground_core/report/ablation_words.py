"""How an ablation is written on the page: its headline numbers, places, budgets and findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from vidground_core.experiments.ablation_verdict import BEYOND_NOISE

from . import wording
from .ablation import MEAN, START, AblationReport, Claim, Place
from .wording import counted, label, percent, percent_bare

BUDGETS: Mapping[str, str] = {"prompts": "equal prompts", "vg-prompts": "equal VG prompts"}
FILTERED, FULL = "filtered", "full"
DONE, NOT_STARTED = "done", "not started"
_KEY_SPLITS = ("vg", "full")
_CLAIMS = 8


def budget(name: str, *, head: bool = False) -> str:
    """What a budget holds equal, in words; `head` begins it as a heading."""
    words = BUDGETS.get(name, name)
    return words[:1].upper() + words[1:] if head else words


def place(at: Place, *, frames: bool = False) -> str:
    """A place in words; `frames` says their number too."""
    where = "mean of the benchmarks" if at.benchmark == MEAN else at.benchmark
    return f"{label(at.split)} · {where}" + (f", {at.frames} frames" if frames else "")


def split(name: str) -> str:
    """A split as the head of a column."""
    return {"vg": "VG", "ta": "TA", "full": "Full", "conflict": "Conflict"}.get(name, name)


def tick(points: float) -> str:
    """Percentage points on an axis."""
    return f"{points:+.0f}".replace("-", "−").replace("+0", "0")


def gain(points: float) -> str:
    """A difference in percentage points, signed, one decimal."""
    return wording.points(points / 100)


def percent_whole(value: float) -> str:
    """A rate in 0..1 on an axis."""
    return f"{100 * value:.0f}%"


def seconds(value: float | None) -> str:
    """A time."""
    if value is None:
        return ""
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def key_place(data: AblationReport) -> Place | None:
    """The place that the headline is about: VG where there is one, else full, else the first."""
    found = [at for name in _KEY_SPLITS for at in data.standing if at.split == name]
    return next(iter([*found, *data.standing]), None)


def facts(data: AblationReport) -> tuple[tuple[str, str, str], ...]:
    """The headline numbers: value, name, note."""
    states = Counter(run.state for run in data.runs if run.key != START)
    whole = sum(states.values())
    arms = len({arm.name for arm in data.arms if arm.name != START})
    found = []
    if whole:
        rest = "all of them evaluated" if states["done"] == whole else f"of {whole:,} planned or begun"
        found.append((f"{states['done']:,}", "runs done", rest))
    at = key_place(data)
    if arms and at is not None:
        found.append((str(arms), "arms with results", counted(max(arm.seeds for arm in data.arms), "seed") + " at most"))
        found += [
            (percent(arm.accuracy[at].value), f"accuracy on {split(at.split)} before training", _interval(arm.accuracy[at]))
            for arm in data.arms
            if arm.name == START and at in arm.accuracy
        ]
        for name in data.budgets:
            each = data.difference(FILTERED, FULL, name, at)
            if each:
                note = f"95% interval {gain(each.low)} to {gain(each.high)}; p {_p(each.adjusted)} after Holm"
                found.append((gain(each.points), f"points on {split(at.split)}: filtered less full, {budget(name)}", note))
    return tuple(found)


def _interval(estimate: Any) -> str:
    return f"95% interval {percent_bare(estimate.low)} to {percent_bare(estimate.high)}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def noted_claims(data: AblationReport) -> tuple[Claim, ...]:
    """All that is beyond noise, that in the key place first."""
    at = key_place(data)
    return tuple(sorted((claim for claim in data.claims if claim.finding == BEYOND_NOISE), key=lambda claim: claim.place != at))


def main_claims(data: AblationReport) -> tuple[Claim, ...]:
    """What the comparisons of the filter show in the key place, but beyond noise: with full first, then with the other arms."""
    noted = set(noted_claims(data))
    return tuple(claim for claim in _key_claims(data) if claim not in noted)


def _key_claims(data: AblationReport) -> tuple[Claim, ...]:
    at = key_place(data)
    own = [claim for claim in data.claims if claim.place == at and FILTERED in (claim.arm, claim.against)]
    chosen = sorted(own, key=lambda claim: FULL not in (claim.arm, claim.against))
    return tuple(chosen or [claim for claim in data.claims if claim.place == at][:_CLAIMS])


def other_claims(data: AblationReport) -> tuple[Claim, ...]:
    """All others."""
    shown = {*noted_claims(data), *main_claims(data)}
    return tuple(claim for claim in data.claims if claim not in shown)


def undone(data: AblationReport) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """The runs that are not done by state and reason, those that did not begin last: state, reason, keys."""
    found: dict[tuple[str, str], list[str]] = {}
    for run in sorted((run for run in data.runs if run.state != DONE), key=lambda run: run.state == NOT_STARTED):
        found.setdefault((run.state, run.reason), []).append(run.key)
    return tuple((state, reason, tuple(keys)) for (state, reason), keys in found.items())


FILTERS: Mapping[str, Callable[..., Any]] = {
    "budget": budget,
    "place_name": place,
    "split_name": split,
    "tick": tick,
    "gain": gain,
    "percent_whole": percent_whole,
    "seconds": seconds,
}
