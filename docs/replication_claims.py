"""What the replication's results say, in tables and sentences that are computed: another result gives another sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

from vidground_core.experiments.ablation_verdict import BEYOND_NOISE, NOT_SHOWN, ONE_SEED, SAME, UNSURE, finding

Result = Mapping[str, Any]
PLACES = {
    "VG": ("planted:test", 8, "vg"),
    "TA": ("planted:test", 8, "ta"),
    "conflict": ("planted:conflict", 8, "conflict"),
    "mix": ("planted:test", 8, "full"),
}
BUDGETS = {"prompts": "equal prompts", "vg-prompts": "equal VG prompts"}
NOT_RUN = "not run yet"


def arms(result: Result, budget: str) -> list[Mapping[str, Any]]:
    """The arms that have runs under a budget, the start checkpoint first."""
    return [arm for arm in result["arms"] if arm["budget"] in (budget, "")]


def measured(arm: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """An arm's accuracy in a place of PLACES."""
    return next((place for place in arm["places"] if (place["benchmark"], place["frames"], place["split"]) == PLACES[name]), None)


def difference(result: Result, first: str, second: str, name: str, budget: str) -> Mapping[str, Any] | None:
    """First minus second, whichever way round it is stored; None where they are not compared."""
    for each in result["differences"]:
        if (each["benchmark"], each["frames"], each["split"]) != PLACES[name] or each["budget"] != budget:
            continue
        if (each["arm"], each["against"]) == (first, second):
            return dict(each)
        if (each["arm"], each["against"]) == (second, first):
            low, high = each["interval"]
            return {**each, "arm": first, "against": second, "points": -each["points"], "interval": [-high, -low]}
    return None


def claim(each: Mapping[str, Any] | None) -> str:
    """A difference and how far it can be trusted."""
    if each is None:
        return NOT_RUN
    found = finding(each)
    if found == SAME:
        return "not one answer differs"
    low, high = each["interval"]
    numbers = f"{each['points']:+.1f} points [{low:+.1f}, {high:+.1f}]"
    p, over_seeds = probability(each["p_adjusted"]), probability(each["p_seeds"])
    if found == NOT_SHOWN:
        least = "" if each["detectable"] is None else f"; {each['detectable']:.1f} points would have been found with a chance of about 80%"
        return f"{numbers}, no difference shown (p {p} after Holm{least})"
    said = {
        BEYOND_NOISE: f"beyond noise (p {p} after Holm, {over_seeds} over {each['seeds']} seeds alone)",
        UNSURE: f"not certain: p is {p} after Holm, but {over_seeds} over {each['seeds']} seeds alone",
        ONE_SEED: f"of one pair of trainings (p {p} after Holm); other seeds were not tried",
    }
    return f"{numbers}, {said[found]}"


def probability(value: float | None) -> str:
    """A p-value as a person writes it."""
    if value is None:
        return "unknown"
    return "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0")


def headline(result: Result) -> str:
    """Whether the paper's claim holds: filtering raises accuracy on grounded questions at equal prompts."""
    each = difference(result, "filtered", "full", "VG", "prompts")
    if each is None:
        return f"**The comparison of `filtered` with `full` is {NOT_RUN}.**"
    found, up = finding(each), each["points"] > 0
    if found == BEYOND_NOISE:
        verdict = "holds here" if up else "is reversed here"
    else:
        verdict = "is not shown here" if found in (NOT_SHOWN, SAME) else "is neither shown nor refuted here"
    bound = f" A gain of more than {each['interval'][1]:.1f} points is outside the interval." if found == NOT_SHOWN else ""
    return (
        f"**The paper's claim, that filtering raises accuracy on grounded questions, {verdict}**: trained on what the filter keeps"
        f" instead of everything, with equal prompts, the model's accuracy on VG questions changes by {claim(each)}.{bound}"
    )


def dilution(result: Result) -> str:
    """How much of a gain at equal prompts is left at equal VG prompts."""
    prompts, grounded = (difference(result, "filtered", "full", "VG", budget) for budget in BUDGETS)
    if prompts is None or grounded is None:
        return f"What is left at equal VG prompts is {NOT_RUN}."
    left = claim(grounded)
    if finding(prompts) != BEYOND_NOISE or prompts["points"] <= 0:
        return f"At equal prompts there is no gain on VG for dilution to explain; at equal VG prompts the difference is {left}."
    if finding(grounded) == BEYOND_NOISE and grounded["points"] > 0:
        return f"Of the gain on VG, {grounded['points']:.1f} of {prompts['points']:.1f} points are left at equal VG prompts: {left}."
    return f"At equal VG prompts the gain on VG is not seen: {left}. As far as this design can tell, it is dilution undone."


def answers(result: Result) -> list[str]:
    """One line a question that the study was made for."""
    sizes = {name: next((place["n"] for arm in result["arms"] if (place := measured(arm, name))), 0) for name in PLACES}
    grounded = sizes["VG"] / sizes["mix"] if sizes["mix"] else 0.0
    questions = [
        ("Does filtering cost accuracy on TA questions?", "filtered", "full", "TA", "prompts"),
        ("Does it make the model trust a misleading text less (conflict)?", "filtered", "full", "conflict", "prompts"),
        ("… and at equal VG prompts, where dilution plays no part?", "filtered", "full", "conflict", "vg-prompts"),
        (f"Is an unfiltered mix, {grounded:.0%} VG, answered better?", "filtered", "full", "mix", "prompts"),
        ("Is it the filter, or the size of the set? VG, against a random subset", "filtered", "random-matched", "VG", "prompts"),
        ("… and on conflict", "filtered", "random-matched", "conflict", "prompts"),
        ("What would a filter without errors add? VG, oracle against filtered", "oracle", "filtered", "VG", "prompts"),
        ("… and on conflict", "oracle", "filtered", "conflict", "prompts"),
        ("Does training on what the filter drops harm? ta-only against full, conflict", "ta-only", "full", "conflict", "prompts"),
        ("With SFT in place of GRPO: filtered against full, VG", "sft-filtered", "sft-full", "VG", "prompts"),
        ("… and on conflict", "sft-filtered", "sft-full", "conflict", "prompts"),
    ]
    lines = ["| question | answer |", "|---|---|"]
    return [*lines, *(f"| {asked} | {claim(difference(result, *pair))} |" for asked, *pair in questions)]


def methods(result: Result) -> dict[str, Mapping[str, Any]]:
    """The arms that train on everything by another method than `full`, with their options; SFT has a filtered arm of its own."""
    named = result["config"]["ablation"]["arms"]
    return {arm["name"]: arm["trainer"] for arm in named if arm["data"] == "full" and arm["trainer"] and arm["name"] != "sft-full"}


def method_table(result: Result) -> list[str]:
    """What each method changes of plain GRPO."""
    lines = ["| arm | options on top of the preset `nano` | seeds |", "|---|---|---|"]
    done = {arm["name"]: len(arm["seeds"]) for arm in arms(result, "prompts")}
    for name, options in methods(result).items():
        said = ", ".join(f"`{key}: {value}`" for key, value in options.items() if key != "preset")
        lines.append(f"| `{name}` | {said} | {done.get(name, 0) or NOT_RUN} |")
    return lines


def methods_headline(result: Result, budget: str) -> str:
    """Whether GRPO on the filtered set beats more complex methods on everything, on VG and on conflict questions, under one budget."""
    said = []
    for place in ("VG", "conflict"):
        groups: dict[str, list[str]] = {"ahead": [], "behind": [], "open": []}
        for name in methods(result):
            each = difference(result, "filtered", name, place, budget)
            if each is not None:
                certain = finding(each) == BEYOND_NOISE
                groups[("ahead" if each["points"] > 0 else "behind") if certain else "open"].append(f"`{name}`")
        if not any(groups.values()):
            return f"With {BUDGETS[budget]}: {NOT_RUN}."
        words = {"ahead": "ahead of", "behind": "behind", "open": "not told from"}
        parts = [f"{words[key]} {', '.join(names)}" for key, names in groups.items() if names]
        said.append(f"on {place} {'; '.join(parts)}")
    return f"With {BUDGETS[budget]}, `filtered` (plain GRPO) is, beyond noise, {', and '.join(said)}."


def method_claims(result: Result, budget: str) -> list[str]:
    """Every method against plain GRPO on the filtered set, and against plain GRPO on everything."""
    lines = ["| filtered against | VG | conflict |", "|---|---|---|"]
    for name in methods(result):
        found = [difference(result, "filtered", name, place, budget) for place in ("VG", "conflict")]
        if any(found):
            lines.append(f"| `{name}` | {' | '.join(claim(each) for each in found)} |")
    return lines if len(lines) > 2 else [f"{NOT_RUN.capitalize()}."]


def accuracy_table(result: Result, budget: str) -> list[str]:
    """Accuracy of each arm in per cent with its interval, and the lowest and highest seed."""
    lines = [f"| arm | seeds | prompts | {' | '.join(PLACES)} |", f"|---|---|---|{'---|' * len(PLACES)}"]
    for arm in arms(result, budget):
        cells = [_cell(measured(arm, name)) for name in PLACES]
        prompts = _range(arm.get("prompts") or [])
        lines.append(f"| `{arm['name']}` | {len(arm['seeds']) or '–'} | {prompts} | {' | '.join(cells)} |")
    return lines


def _range(values: Sequence[int]) -> str:
    if not values:
        return "–"
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _cell(place: Mapping[str, Any] | None) -> str:
    if place is None:
        return "–"
    low, high = place["interval"]
    return f"{100 * place['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def seed_table(result: Result, budget: str) -> list[str]:
    """Accuracy on VG and conflict of every seed."""
    chosen = [arm for arm in arms(result, budget) if arm["seeds"]]
    seeds = sorted({seed for arm in chosen for seed in arm["seeds"]})
    lines = [f"| arm, split | {' | '.join(f'seed {seed}' for seed in seeds)} |", f"|---|{'---|' * len(seeds)}"]
    for arm in chosen:
        for name in ("VG", "conflict"):
            place = measured(arm, name)
            found = dict(zip(arm["seeds"], place["by_seed"] if place else [], strict=False))
            cells = [f"{100 * found[seed]:.1f}" if seed in found else "–" for seed in seeds]
            lines.append(f"| `{arm['name']}`, {name} | {' | '.join(cells)} |")
    return lines


def difference_table(result: Result, against: str, budget: str) -> list[str]:
    """Paired differences of all arms to one, in points; bold where beyond noise."""
    lines = [f"| arm | {' | '.join(PLACES)} |", f"|---|{'---|' * len(PLACES)}"]
    for arm in arms(result, budget):
        if arm["name"] == against:
            continue
        found = [difference(result, arm["name"], against, name, budget) for name in PLACES]
        if any(found):
            lines.append(f"| `{arm['name']}` | {' | '.join(_points(each) for each in found)} |")
    return lines if len(lines) > 2 else [f"{NOT_RUN.capitalize()}."]


def _points(each: Mapping[str, Any] | None) -> str:
    if each is None:
        return "–"
    if finding(each) == SAME:
        return "0 (same runs)" if each["points"] == 0 else "0"
    low, high = each["interval"]
    mark = "**" if finding(each) == BEYOND_NOISE else ""
    return f"{mark}{each['points']:+.1f}{mark} [{low:+.1f}, {high:+.1f}]"


def data_table(result: Result) -> list[str]:
    """Every data condition: how many questions it has, and how many of them are grounded."""
    lines = ["| data condition | questions | VG | TA | share of TA |", "|---|---|---|---|---|"]
    for row in result["data"]:
        grounded = row["grounded"] or 0
        left = row["questions"] - grounded
        lines.append(f"| `{row['name']}` | {row['questions']:,} | {grounded:,} | {left:,} | {left / row['questions']:.1%} |")
    return lines


def variance_table(result: Result) -> list[str]:
    """The share of groups of rollouts without variance, which teach nothing, at the start and end of training."""
    lines = ["| arm | first fifth of training | last fifth |", "|---|---|---|"]
    known = {run["run"]: run for run in result["runs"]}
    for arm in arms(result, "prompts"):
        runs = [known[key] for key in arm["runs"] if known.get(key, {}).get("zero_variance")]
        if runs:
            first, last = (mean(run["zero_variance"][end] for run in runs) for end in (0, 1))
            lines.append(f"| `{arm['name']}` | {first:.0%} | {last:.0%} |")
    return lines


def doses(result: Result, share: str) -> Iterator[tuple[float, Mapping[str, Any]]]:
    """The arms of a sweep with their dose, smallest first: `ta`, the share of TA in the data; `drops`, of VG questions dropped."""
    sizes = {row["name"]: row for row in result["data"]}
    shown = [(sizes[arm["data"][0]], arm) for arm in result["arms"] if arm["budget"] and arm["name"] != "filtered"]
    # Grounded questions are counted only where a budget needs it; the sweep of false drops has no others.
    kept = {row["name"]: row["questions"] if row["grounded"] is None else row["grounded"] for row, _ in shown}
    most = max(kept.values(), default=0)
    found = [(1 - kept[row["name"]] / (row["questions"] if share == "ta" else most), arm) for row, arm in shown]
    yield from sorted(found, key=lambda each: each[0])


def dose_table(result: Result, share: str, title: str) -> list[str]:
    """Accuracy by dose, one line an arm and budget."""
    lines = [f"| {title} | budget | seeds | {' | '.join(PLACES)} |", f"|---|---|---|{'---|' * len(PLACES)}"]
    for dose, arm in doses(result, share):
        cells = [_cell(measured(arm, name)) for name in PLACES]
        lines.append(f"| {dose:.0%} | {BUDGETS[arm['budget']]} | {len(arm['seeds'])} | {' | '.join(cells)} |")
    return lines


def dose_claims(result: Result, share: str) -> list[str]:
    """Each dose against none."""
    lines = []
    for dose, arm in doses(result, share):
        if arm["name"] != "oracle" and round(dose, 3):
            said = [f"{name} {claim(difference(result, arm['name'], 'oracle', name, arm['budget']))}" for name in ("VG", "conflict")]
            lines.append(f"- {dose:.0%} against none, {BUDGETS[arm['budget']]}: {'; '.join(said)}.")
    return lines
