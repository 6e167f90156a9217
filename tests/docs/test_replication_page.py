"""The page of the replication: what it says follows from the committed results, and changes with them."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
RESULTS = DOCS.parent / "examples" / "replication" / "results"


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("build_replication")


@pytest.fixture
def claims(builder: ModuleType) -> ModuleType:
    module: ModuleType = builder.claims
    return module


@pytest.fixture
def studies(builder: ModuleType) -> dict[str, Any]:
    found: dict[str, Any] = builder.read_results(RESULTS)
    return found


def changed(study: dict[str, Any], split: str, budget: str = "prompts", **values: Any) -> dict[str, Any]:
    """The study with other numbers where filtered is compared with full."""
    other = copy.deepcopy(study)
    for each in other["differences"]:
        if (each["arm"], each["against"], each["split"], each["budget"]) == ("filtered", "full", split, budget):
            each.update(values)
    return other


CERTAIN = {"points": 5.0, "interval": [2.0, 8.0], "p_adjusted": 0.001, "p_seeds": 0.004}


def test_the_page_is_what_the_results_give(builder: ModuleType, studies: dict[str, Any]) -> None:
    page = (DOCS / "explanation" / "replication.md").read_text(encoding="utf-8")
    assert page == builder.page(studies), "run python docs/build_replication.py"
    assert "{" not in page
    for name in ("replication-full.svg", "replication-filtered.svg"):
        assert (DOCS / "explanation" / name).exists()
        assert f"]({name})" in page


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (CERTAIN, "grounded questions, holds here**: "),
        ({**CERTAIN, "points": -5.0, "interval": [-8.0, -2.0]}, "grounded questions, is reversed here**: "),
        ({**CERTAIN, "p_seeds": 0.2}, "grounded questions, is neither shown nor refuted here**: "),
        ({**CERTAIN, "p_adjusted": 0.4, "detectable": 6.0}, "is not shown here**: "),
        ({**CERTAIN, "p_adjusted": 0.4, "detectable": 6.0}, "A gain of more than 8.0 points is outside the interval."),
        ({**CERTAIN, "p_adjusted": 0.4, "detectable": 6.0}, "no difference shown (p .400 after Holm; 6.0 points would have been found"),
    ],
)
def test_the_paper_s_claim_is_judged_by_the_numbers(claims: ModuleType, studies: dict[str, Any], values: dict[str, Any], said: str) -> None:
    assert said in claims.headline(changed(studies["study"], "vg", **values))


def test_dilution_is_told_from_effect(claims: ModuleType, studies: dict[str, Any]) -> None:
    gain = changed(studies["study"], "vg", **CERTAIN)
    nothing = {"p_adjusted": 0.7, "detectable": 4.0, "points": 0.5, "interval": [-2.0, 3.0]}
    assert "As far as this design can tell, it is dilution undone." in claims.dilution(changed(gain, "vg", "vg-prompts", **nothing))
    left = changed(gain, "vg", "vg-prompts", **{**CERTAIN, "points": 3.0})
    assert "Of the gain on VG, 3.0 of 5.0 points are left at equal VG prompts" in claims.dilution(left)
    none = changed(studies["study"], "vg", p_adjusted=0.5)
    assert "there is no gain on VG for dilution to explain" in claims.dilution(none)


def test_methods_are_judged_by_the_numbers(claims: ModuleType, studies: dict[str, Any]) -> None:
    """The difference of an arm to `filtered` is said from the side of `filtered`."""
    study = copy.deepcopy(studies["study"])
    study["config"]["ablation"]["arms"] = [
        {"name": "full", "data": "full", "trainer": {}},
        {"name": "sft-full", "data": "full", "trainer": {"name": "trl-sft"}},
        *({"name": name, "data": "full", "trainer": {"lr": 1}} for name in ("worse", "unknown", "missing")),
    ]
    (model,) = [e for e in study["differences"]
                if (e["arm"], e["against"], e["split"], e["budget"]) == ("filtered", "full", "vg", "prompts")]  # fmt: skip
    numbers = {"worse": {**CERTAIN, "points": -5.0, "interval": [-8.0, -2.0]}, "unknown": {"p_adjusted": 0.7, "detectable": 4.0}}
    places = {"vg": "planted:test", "conflict": "planted:conflict"}
    study["differences"] = [
        {**model, "split": split, "benchmark": benchmark, "arm": name, "against": "filtered", **values}
        for name, values in numbers.items()
        for split, benchmark in places.items()
    ]
    assert list(claims.methods(study)) == ["worse", "unknown", "missing"]
    said = claims.methods_headline(study, "prompts")
    assert said == ("With equal prompts, `filtered` (plain GRPO) is, beyond noise, on VG ahead of `worse`; not told from `unknown`, "
                    "and on conflict ahead of `worse`; not told from `unknown`.")  # fmt: skip
    assert claims.methods_headline(study, "vg-prompts") == "With equal VG prompts: not run yet."
    first, second = claims.method_claims(study, "prompts")[2:]
    assert first.startswith("| `worse` | +5.0 points [+2.0, +8.0], beyond noise")
    assert "no difference shown" in second
    assert claims.method_claims(study, "vg-prompts") == ["Not run yet."]


def test_doses_of_a_sweep_without_counted_grounded_questions(claims: ModuleType) -> None:
    """Under the budget `prompts` alone they are not counted; in the sweep of false drops all questions are grounded."""
    rows = [{"name": name, "questions": size, "grounded": None} for name, size in (("full", 300), ("oracle", 200), ("drops-40", 120))]
    swept = [{"name": name, "budget": "prompts", "data": [name]} for name in ("oracle", "drops-40")]
    found = [(round(dose, 6), arm["name"]) for dose, arm in claims.doses({"data": rows, "arms": swept}, "drops")]
    assert found == [(0.0, "oracle"), (0.4, "drops-40")]


def test_bold_means_beyond_noise(claims: ModuleType, studies: dict[str, Any]) -> None:
    (row,) = [
        line for line in claims.difference_table(changed(studies["study"], "vg", **CERTAIN), "full", "prompts") if "`filtered`" in line
    ]
    assert "| **+5.0** [+2.0, +8.0] |" in row
    unsure = changed(studies["study"], "vg", **{**CERTAIN, "p_seeds": 0.2})
    (row,) = [line for line in claims.difference_table(unsure, "full", "prompts") if "`filtered`" in line]
    assert "| +5.0 [+2.0, +8.0] |" in row


def test_a_difference_is_the_same_from_both_sides(claims: ModuleType, studies: dict[str, Any]) -> None:
    one, other = (
        claims.difference(studies["study"], *pair, "conflict", "prompts") for pair in (("filtered", "full"), ("full", "filtered"))
    )
    assert one["points"] == -other["points"]
    assert one["interval"] == [-bound for bound in reversed(other["interval"])]


def test_what_was_not_run_is_said(builder: ModuleType, studies: dict[str, Any]) -> None:
    bare = copy.deepcopy(studies["study"])
    bare["differences"] = []
    page = builder.page({"study": bare})
    assert "**The comparison of `filtered` with `full` is not run yet.**" in page
    assert page.count("Not run yet.") >= 6


def test_results_name_no_folder_of_the_machine_they_were_made_on() -> None:
    for file in RESULTS.rglob("*"):
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            assert not any(folder in text for folder in ("/tmp/", "/home/", "/root/", "/work")), file


def test_from_the_config_to_the_page(builder: ModuleType, vg: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two trainings of one step each with the real trainer: results, plots and page of a study that is only begun."""
    out = tmp_path / "study"
    arms = "[{name: full, data: full}, {name: filtered, data: by-label}]"
    sets = [f"ablation.arms={arms}", "ablation.controls=false", "ablation.prompts=16", "ablation.seeds=[0]", "ablation.against=[full]"]
    config = DOCS.parent / "examples" / "replication" / "replication-small.yaml"
    options = [word for each in (*sets, "blind-vlm.rotations=1") for word in ("--set", each)]
    env = {"OMP_NUM_THREADS": "1", "VG_CACHE": str(tmp_path / "cache")}
    done = vg("--json", "ablate", config, "--out", out, "--limit", "30", *options, env=env)
    assert done.code == 0, done.err
    assert (out / "report.html").exists()
    builder.write_results("study", builder.summary(out), tmp_path / "results")
    studies = builder.read_results(tmp_path / "results")
    page = builder.page(studies)
    assert "All 2 runs are done." in page
    assert "| `filtered` | 1 | 16 |" in page
    assert "of one pair of trainings" in page or "no difference shown" in page or "not one answer differs" in page
    assert [path.name for path in builder.draw(studies, tmp_path)] == ["replication-full.svg", "replication-full.png"]
    assert (tmp_path / "results" / "study" / "tables" / "tables.tex").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (0.05, "- VG: `t-grpo` less `full` +5.0 points [+"),
        (0.05, "more beyond noise."),
        (-0.05, "less beyond noise."),
        (0.0, "no difference shown."),
    ],
)
def test_what_the_temporal_reward_did_is_judged_by_the_seeds(builder: ModuleType, more: float, said: str) -> None:
    jitter = {0: 0.001, 1: -0.001, 2: 0.0}
    rows = [
        {"arm": arm, "seed": seed, "place": place, "n": 500, "ordered": 0.7, "shuffled": 0.5, "interval": [0.1, 0.3]}
        | {"gain": 0.2 + (more + jitter[seed]) * (arm == "t-grpo")}
        for arm in ("full", "t-grpo")
        for seed in jitter
        for place in builder.order.PLACES
    ]
    assert said in builder.order.section({"checkpoints": rows})[-2]


def test_without_its_checkpoints_the_page_says_so(builder: ModuleType) -> None:
    assert builder.order.section(None) == ["Not run yet."]
