"""The sections of an ablation's page: which there are, and what their template reads besides the data."""

from __future__ import annotations

from .ablation import AblationReport
from .ablation_figures import accuracy_axis, arms_under, band_plot, forest, on_axis, other_places
from .ablation_words import FILTERS as WORDS
from .ablation_words import facts, key_place, main_claims, noted_claims, other_claims, undone

__all__ = ["FILTERS", "facts", "names", "sections"]

FILTERS = {**WORDS, "on_axis": on_axis}


def sections(found: AblationReport | None) -> tuple[tuple[str, str], ...]:
    """Id and title of the sections there is something to say in; the id is the macro's name too."""
    if found is None:
        return ()
    present = (
        (bool(found.claims or found.notes or found.protocol), "outcome", "What came out"),
        (bool(found.differences), "differences", "Differences between arms"),
        (bool(found.arms), "arms", "Accuracy of the arms"),
        (bool(found.conditions), "conditions", "Data conditions"),
        (bool(found.bands), "curves", "Training of the arms"),
        (bool(found.runs), "runs", "Runs"),
    )
    return tuple((name, title) for there, name, title in present if there)


def names(found: AblationReport | None) -> dict[str, object]:
    """What the template calls and reads by name; nothing where there is no ablation."""
    if found is None:
        return {}
    return {
        "noted_claims": noted_claims(found),
        "main_claims": main_claims(found),
        "other_claims": other_claims(found),
        "undone": undone(found),
        "key_place": key_place(found),
        "other_places": other_places(found),
        "several_frames": len({place.frames for place in found.places}) > 1,
        "budget_series": {name: f"s{index % 4}" for index, name in enumerate(found.budgets)},
        "forest": forest,
        "arms_under": arms_under,
        "accuracy_axis": accuracy_axis,
        "band_plot": band_plot,
    }
