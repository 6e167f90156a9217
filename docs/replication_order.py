"""Order sensitivity of checkpoints with and without T-GRPO: accuracy in order less accuracy on the same frames shuffled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t

PLACES = {"VG": ("planted:test", "vg"), "conflict": ("planted:conflict", "full")}
ARM, BASE = "t-grpo", "full"


def summary(directory: Path) -> dict[str, Any]:
    """What is committed of `vg eval CHECKPOINT --changed shuffled --out DIRECTORY/ARM-3200p-sSEED`, one row a checkpoint and place."""
    rows = []
    for folder in sorted(path.parent for path in directory.glob("*/results.json")):
        arm, _, seed = folder.name.rpartition("-s")
        found = {each["name"]: each for each in json.loads((folder / "results.json").read_text(encoding="utf-8"))["benchmarks"]}
        for place, (benchmark, split) in PLACES.items():
            changed = found[benchmark]["changed"]["shuffled"]["splits"][split]
            row = {"arm": arm.rpartition("-")[0], "seed": int(seed), "place": place, "n": changed["n"], "ordered": changed["ordered"]}
            rows.append(row | {"shuffled": changed["accuracy"], "gain": changed["gain"], "interval": changed["interval"]})
    return {"checkpoints": rows}


def section(result: Mapping[str, Any] | None) -> list[str]:
    """The table of the checkpoints, and what the seeds say together."""
    if result is None:
        return ["Not run yet."]
    rows = result["checkpoints"]
    lines = ["| questions | arm | seed | in order | shuffled | order sensitivity |", "|---|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: (list(PLACES).index(row["place"]), row["arm"], row["seed"])):
        low, high = row["interval"]
        accuracies = f"{100 * row['ordered']:.1f} | {100 * row['shuffled']:.1f}"
        gain = f"{100 * row['gain']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
        lines.append(f"| {row['place']} | `{row['arm']}` | {row['seed']} | {accuracies} | {gain} |")
    return [*lines, "", *(_claim(rows, place) for place in PLACES)]


def _claim(rows: Sequence[Mapping[str, Any]], place: str) -> str:
    gains = {(row["arm"], row["seed"]): 100 * row["gain"] for row in rows if row["place"] == place}
    differences = [gains[ARM, seed] - gains[BASE, seed] for arm, seed in gains if arm == ARM and (BASE, seed) in gains]
    seeds = len(differences)
    middle, half = mean(differences), float(t.ppf(0.975, seeds - 1)) * stdev(differences) / sqrt(seeds)
    low, high = middle - half, middle + half
    found = "more beyond noise" if low > 0 else "less beyond noise" if high < 0 else "no difference shown"
    return f"- {place}: `{ARM}` less `{BASE}` {middle:+.1f} points [{low:+.1f}, {high:+.1f}] by Student's t over {seeds} seeds, {found}."
