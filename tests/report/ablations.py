"""The directory of a finished `vg ablate` of the shape that the verb leaves, with made-up numbers; loaded by conftest.py."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

ARMS = ("full", "filtered", "consensus", "random-matched", "ta-only")
BUDGETS = ("prompts", "vg-prompts")
SEEDS = (0, 1, 2)
# benchmark, split: questions, accuracy before training
PLACES = {
    ("planted:test", "full"): (900, 0.66),
    ("planted:test", "ta"): (360, 0.91),
    ("planted:test", "vg"): (540, 0.49),
    ("planted:conflict", "full"): (300, 0.13),
    ("planted:conflict", "conflict"): (300, 0.13),
    ("mean", "full"): (1200, 0.40),
}


def key(arm: str, budget: str, seed: int) -> str:
    """The name of a run; under both budgets `full` is the same one."""
    return f"{arm}-{3200 if budget == 'prompts' or arm == 'full' else 2400}p-s{seed}"


def results(names: tuple[str, ...] = ARMS, *, missing: tuple[str, ...] = ()) -> dict[str, Any]:
    """The object of `vg ablate --json`: filtered is 4 points ahead of full on VG, all others are as good as equal."""
    chance = random.Random(11)
    arms = [_arm("start", "", (), 0.0, chance)]
    arms += [_arm(name, budget, SEEDS, 0.08 + 0.04 * (name == names[1]), chance) for budget in BUDGETS for name in names]
    differences = [
        _difference(name, against, budget, place, chance)
        for budget in BUDGETS
        for against in names[:2]
        for place in PLACES
        for name in names
        if name != against and (against, name) != (names[1], names[0])
    ]
    protocol = {
        "model": "nano",
        "arms": list(names),
        "seeds": list(SEEDS),
        "budgets": list(BUDGETS),
        "grounded": "label=vg",
        "checkpoint": "the last one",
    }
    protocol |= {"interval": "95 % hierarchical bootstrap", "eval": {"benchmarks": ["planted:test", "planted:conflict"], "frames": [8]}}
    data = [{"name": name, "questions": 300 if name == names[0] else 180, "grounded": 150} for name in names]
    return {
        "out": "out",
        "protocol": protocol,
        "data": data,
        "arms": arms,
        "differences": differences,
        "missing_runs": list(missing),
        "notes": ["arm 'x' is not trained: its data condition keeps no question"],
    }


def _arm(name: str, budget: str, seeds: tuple[int, ...], gain: float, chance: random.Random) -> dict[str, Any]:
    places = []
    for (benchmark, split), (n, before) in PLACES.items():
        value, error = before + gain + chance.gauss(0, 0.005), 0.01
        place = {"benchmark": benchmark, "frames": 8, "split": split, "accuracy": value, "interval": [value - 2 * error, value + 2 * error]}
        places.append(place | {"n": n, "groups": n // 3, "seeds": len(seeds) or 1, "error": error, "deviation": 0.004 if seeds else None})
    standing = {place["split"]: place for place in places if place["benchmark"] != "mean"} | {"full": places[-1]}
    runs = [key(name, budget, seed) for seed in seeds]
    more = {
        "trainer": {"name": "trl-grpo"},
        "data": [name],
        "questions": [180],
        "prompts": [3200] * len(seeds),
        "tokens": [9000] * len(seeds),
    }
    return {"name": name, "budget": budget, "seeds": list(seeds), "runs": runs, "splits": standing, "places": places} | (
        more if seeds else {}
    )


def _difference(arm: str, against: str, budget: str, place: tuple[str, str], chance: random.Random) -> dict[str, Any]:
    ahead = arm == "filtered" and place[1] == "vg"
    points = 4.0 if ahead else round(chance.uniform(-0.9, 0.9), 3)
    row = {"arm": arm, "against": against, "budget": budget, "benchmark": place[0], "frames": 8, "split": place[1], "points": points}
    row |= {"interval": [points - 1.8, points + 1.8], "n": 900, "groups": 300, "seeds": 3, "error": 0.9, "deviation": 0.7}
    row |= {"p": 0.001 if ahead else 0.4, "p_adjusted": 0.004 if ahead else 1.0, "p_seeds": 0.01 if ahead else 0.5}
    return row | {"gained": 90, "lost": 54, "mcnemar": None, "detectable": 3.1}


def write_ablation(folder: Path, record: Callable[..., None], result: dict[str, Any] | None = None) -> Path:
    """Everything but `detect` and the tables of questions; `record` writes a run.json."""
    found = result or results()
    settings = {"dataset": {"name": "planted"}, "model": "nano", "ablation": {"prompts": 3200, "seeds": list(SEEDS)}}
    record(folder, "ablate", passed=settings, resolved=settings, argv=["vg", "ablate", "a.yaml", "--out", "out"], result=found)
    (folder / "results.json").write_text(json.dumps(found), encoding="utf-8")
    for arm in found["arms"][1:]:
        if arm["name"] != "full":
            made = {"total": 300, "kept": 180, "reasons": {"answered blind by blind-vlm": 120, "kept": 180}}
            policies = [{"name": "drop-answerable", "version": "1"}]
            record(folder / "data" / _plain(arm["name"]), "filter", result=made | {"policies": policies})
        for number, run in enumerate(arm["runs"]):
            if run not in found["missing_runs"]:
                _write_run(folder, run, number, record)
    record(folder / "eval" / "start", "eval", result={})
    return folder


def _plain(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name)


def _write_run(folder: Path, run: str, number: int, record: Callable[..., None]) -> None:
    train, steps, chance = folder / "train" / _plain(run), 100, random.Random(run)
    if (train / "run.json").exists():
        return
    record(train, "train", result={"prompts": 3200, "tokens": 9000, "steps": steps})
    record(folder / "eval" / _plain(run), "eval", result={})
    with (train / "metrics.jsonl").open("w", encoding="utf-8") as out:
        for step in range(1, steps + 1):
            row = {"step": step, "prompts": 32 * step, "reward": 0.5 + 0.002 * step + 0.01 * number + chance.gauss(0, 0.01)}
            out.write(
                json.dumps(row | {"frac_reward_zero_std": 0.2 + 0.005 * step, "entropy": 1 - 0.008 * step, "kl": 0.001 * step}) + "\n"
            )
    with (folder / "runs.jsonl").open("a", encoding="utf-8") as out:
        out.write(json.dumps({"run": run, "prompts": 3200, "tokens": 9000, "training_s": 121.5, "evaluation_s": 5.2}) + "\n")
