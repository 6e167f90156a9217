"""The plots of the replication's page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from replication_claims import BUDGETS, PLACES, Result, doses, measured

from vidground_core.report.paper_figures import TEXT, forest_plot, save_figure

_COLOURS = {"prompts": "#0072B2", "vg-prompts": "#D55E00"}
_MARKERS = {"prompts": "o", "vg-prompts": "s"}


def forests(result: Result, folder: Path) -> Iterator[Path]:
    """One forest plot for each arm that others are compared with; VG, TA, conflict and mix side by side."""
    panels = {place: name for name, place in PLACES.items()}
    for against in dict.fromkeys(each["against"] for each in result["differences"]):
        yield from save_figure(forest_plot(result, against=against, panels=panels), folder / f"replication-{against}", ("svg", "png"))


def dose_response(result: Result, share: str, label: str, stem: Path) -> Iterator[Path]:
    """Accuracy on VG, TA and conflict questions over the dose, with 95% intervals; one line a budget, and every seed as a dot."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 7.0, "svg.fonttype": "path", "svg.hashsalt": "vidground"}):
        figure = Figure(figsize=(TEXT, 2.2), layout="constrained")
        axes = figure.subplots(1, 3)
        for axis, name in zip(axes, ("VG", "TA", "conflict"), strict=True):
            for budget, title in BUDGETS.items():
                found = [(100 * dose, measured(arm, name), arm) for dose, arm in doses(result, share) if arm["budget"] == budget]
                points = [(dose, place) for dose, place, _ in found if place]
                if not points:
                    continue
                values = [100 * place["accuracy"] for _, place in points]
                below = [value - 100 * place["interval"][0] for value, (_, place) in zip(values, points, strict=True)]
                above = [100 * place["interval"][1] - value for value, (_, place) in zip(values, points, strict=True)]
                shown = {"color": _COLOURS[budget], "marker": _MARKERS[budget], "markersize": 3.6, "linewidth": 1.1, "capsize": 2}
                axis.errorbar([dose for dose, _ in points], values, yerr=[below, above], label=title, **shown)
                for dose, place in points:
                    seeds = [100 * value for value in place["by_seed"]]
                    axis.plot([dose] * len(seeds), seeds, ".", color=_COLOURS[budget], markersize=2, alpha=0.5)
            start = next((measured(arm, name) for arm in result["arms"] if arm["name"] == "start"), None)
            if start:
                axis.axhline(100 * start["accuracy"], color="black", linewidth=0.8, linestyle=(0, (3, 2)), label="start")
            axis.set_title(name, fontsize=7.5)
            axis.spines[["right", "top"]].set_visible(False)
            axis.grid(color="#dddddd", linewidth=0.5)
        axes[0].set_ylabel("accuracy, %")
        figure.supxlabel(label, fontsize=7.0)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
        yield from save_figure(figure, stem, ("svg", "png"))
