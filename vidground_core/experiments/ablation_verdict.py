"""What a study's differences show, in words that claim no more than the design could see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vidground_core.experiments.ablation_plan import FILTERED, FULL, RANDOM

# From the plainest finding to none.
BEYOND_NOISE, UNSURE, ONE_SEED, NOT_SHOWN, SAME = "beyond noise", "unsure", "one seed", "not shown", "same answers"
ALPHA = 0.05


def finding(difference: Mapping[str, Any]) -> str:
    """How far a paired difference goes.

    `beyond noise`: p after Holm is below 5 % and so is that of the paired t-test over seeds, which does not trust few seeds.
    `unsure`: only the first is. `one seed`: it is, between two trainings; another seed was not tried. `not shown`: p after Holm is not.
    `same answers`: not one answer differs.
    """
    if not difference["gained"] and not difference["lost"]:
        return SAME
    if difference["p_adjusted"] >= ALPHA:
        return NOT_SHOWN
    if difference["p_seeds"] is None:
        return ONE_SEED
    return BEYOND_NOISE if difference["p_seeds"] < ALPHA else UNSURE


def sentence(difference: Mapping[str, Any]) -> str:
    """A difference as "this against that, where: what was found"; what is held against `filtered` is said from the side of `filtered`."""
    first, second = difference["arm"], difference["against"]
    points, (low, high) = difference["points"], difference["interval"]
    if second == FILTERED:
        first, second = second, first
        points, low, high = -points, -high, -low
    seeds = difference["seeds"]
    place = f"{difference['split']} of {difference['benchmark']}, {difference['frames']} frames"
    said = f"{first} against {second}, budget {difference['budget']}, {place}: "
    found = finding(difference)
    if found == SAME:
        return said + "not one answer differs"
    p_seeds = "" if difference["p_seeds"] is None else f", over seeds alone {_p(difference['p_seeds'])}"
    numbers = f"{points:+.1f} points [{low:+.1f}, {high:+.1f}], p {_p(difference['p_adjusted'])} after Holm{p_seeds}, {_seeds(seeds)}"
    if found == NOT_SHOWN:
        least = difference["detectable"]
        seen = f"; this design finds {least:.1f} points with a chance of about 80%" if least is not None else ""
        apart = " (the interval is that of one comparison, without Holm)" if low > 0 or high < 0 else ""
        return f"{said}no difference shown: {numbers}{apart}{seen}"
    way = "ahead" if points > 0 else "behind"
    if found == ONE_SEED:
        return f"{said}{way} in this one pair of trainings, which says nothing of others: {numbers}"
    if found == UNSURE:
        return f"{said}{way}, but {seeds} seeds are too few to say so of trainings in general: {numbers}"
    return f"{said}{way} beyond noise: {numbers}"


def verdicts(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each comparison in the places that stand for the arms: the finding, and a sentence. In the order of the differences."""
    standing = {
        (place["benchmark"], place["frames"], name) for arm in result["arms"] for name, place in arm["splits"].items() if arm["budget"]
    }
    keys = ("arm", "against", "budget", "benchmark", "frames", "split")
    return [
        {**{key: each[key] for key in keys}, "finding": finding(each), "text": sentence(each)}
        for each in result["differences"]
        if (each["benchmark"], each["frames"], each["split"]) in standing
    ]


def caveats(result: Mapping[str, Any]) -> Iterator[str]:
    """What the sentences cannot mean, as far as the design says it."""
    protocol = result["protocol"]
    if result["missing_runs"]:
        yield f"unfinished: {len(result['missing_runs'])} runs are missing; the numbers are those of the runs that are done"
    if "vg-prompts" not in protocol["budgets"]:
        yield "with equal prompts a smaller set meets more grounded prompts than full: add the budget vg-prompts to tell that apart"
    if len(protocol["seeds"]) < 3:
        yield f"{_seeds(len(protocol['seeds']))}: at least three are needed to say anything of the method rather than of these trainings"
    # Results written by earlier versions do not say which arms are planned, only which are there.
    planned = protocol.get("arms", [arm["name"] for arm in result["arms"]])
    names = [name for name in (FULL, FILTERED, RANDOM) if name not in planned]
    if names:
        yield f"no arm {' and no arm '.join(names)}: what a filter does cannot be told from what a smaller set does"


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}"
