"""From the directory of `vg ablate`, finished or not, to what its page shows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vidground_core.errors import RunDirectoryError
from vidground_core.experiments.ablation_verdict import caveats, finding, verdicts
from vidground_core.runs.directory import RECORD, read_record

from .ablation import MEAN, START, AblationReport, Arm, Claim, Condition, Difference, Place, RunState
from .ablation_curves import band_reports
from .data import Estimate
from .jsonl import read_objects

_SPLITS = ("vg", "ta", "conflict", "full")
_REASONS = 4


def ablation_report(root: Path) -> AblationReport:
    """What there is of the ablation in `root`. Raises RunDirectoryError on a results.json of another shape."""
    path = root / "results.json"
    try:
        result = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return _report(root, result)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise RunDirectoryError(f"{path}: not the result of vg ablate: {type(error).__name__}: {error}; run vg ablate again") from error


def _report(root: Path, result: Mapping[str, Any]) -> AblationReport:
    protocol: Mapping[str, Any] = result.get("protocol") or {}
    arms = tuple(_arm(row) for row in result.get("arms", ()))
    differences = tuple(_difference(row) for row in result.get("differences", ()))
    budgets = tuple(str(budget) for budget in protocol.get("budgets", ()))
    return AblationReport(
        budgets=budgets,
        against=tuple(dict.fromkeys(each.against for each in differences)),
        places=_places(arms),
        standing=_standing(result),
        arms=arms,
        differences=differences,
        conditions=tuple(_conditions(root, result)),
        runs=tuple(_runs(root, result)),
        bands=band_reports(root, _uses(result)),
        protocol=_protocol(protocol),
        claims=tuple(_claims(result)) if result else (),
        notes=(*(caveats(result) if result else ()), *(str(note) for note in result.get("notes", ()))),
    )


def _place(row: Mapping[str, Any]) -> Place:
    return Place(str(row["benchmark"]), int(row["frames"]), str(row["split"]))


def _arm(row: Mapping[str, Any]) -> Arm:
    places = {_place(cell): cell for cell in row["places"]}
    return Arm(
        name=str(row["name"]),
        budget=str(row["budget"]),
        trainer=str((row.get("trainer") or {}).get("name", "")),
        data=tuple(str(name) for name in row.get("data", ())),
        seeds=len(row["seeds"]),
        prompts=_mean(row.get("prompts")),
        tokens=_mean(row.get("tokens")),
        accuracy={place: _estimate(cell) for place, cell in places.items()},
        deviation={place: float(cell["deviation"]) for place, cell in places.items() if cell.get("deviation") is not None},
    )


def _estimate(cell: Mapping[str, Any]) -> Estimate:
    low, high = cell["interval"]
    return Estimate(float(cell["accuracy"]), float(low), float(high), int(cell["n"]))


def _mean(values: Sequence[float] | None) -> float | None:
    return sum(values) / len(values) if values else None


def _difference(row: Mapping[str, Any]) -> Difference:
    low, high = row["interval"]
    return Difference(
        arm=str(row["arm"]),
        against=str(row["against"]),
        budget=str(row["budget"]),
        place=_place(row),
        points=float(row["points"]),
        low=float(low),
        high=float(high),
        seeds=int(row["seeds"]),
        p=float(row["p"]),
        adjusted=float(row["p_adjusted"]),
        p_seeds=row.get("p_seeds"),
        mcnemar=row.get("mcnemar"),
        gained=int(row["gained"]),
        lost=int(row["lost"]),
        detectable=row.get("detectable"),
        finding=finding(row),
    )


def _places(arms: Sequence[Arm]) -> tuple[Place, ...]:
    """Every place by benchmark, the mean last, its splits in the page's order; "full" is left out where another split is all of it."""
    found = list(dict.fromkeys(place for arm in arms for place in arm.accuracy))
    benchmarks = sorted(dict.fromkeys((place.benchmark, place.frames) for place in found), key=lambda key: key[0] == MEAN)
    sizes = {place: estimate.n for arm in arms for place, estimate in arm.accuracy.items()}
    places: list[Place] = []
    for key in benchmarks:
        own = sorted((place for place in found if (place.benchmark, place.frames) == key), key=_order)
        whole = [place for place in own if place.split == "full"]
        if len(own) == 2 and whole and len({sizes[place] for place in own}) == 1:
            own.remove(whole[0])
        places += own
    return tuple(places)


def _order(place: Place) -> tuple[int, str]:
    return (_SPLITS.index(place.split) if place.split in _SPLITS else len(_SPLITS), place.split)


def _standing(result: Mapping[str, Any]) -> tuple[Place, ...]:
    """The places that stand for an arm, one a split."""
    found = dict.fromkeys(_place(cell) for row in result.get("arms", ()) for cell in row["splits"].values())
    return tuple(sorted(found, key=_order))


def _claims(result: Mapping[str, Any]) -> Iterator[Claim]:
    for row in result.get("verdicts") or verdicts(result):
        yield Claim(str(row["arm"]), str(row["against"]), str(row["budget"]), _place(row), str(row["finding"]), str(row["text"]))


def _uses(result: Mapping[str, Any]) -> dict[tuple[str, str], tuple[str, ...]]:
    """The runs of each arm under each budget."""
    return {(str(row["name"]), str(row["budget"])): tuple(map(str, row["runs"])) for row in result.get("arms", ()) if row.get("runs")}


def _protocol(protocol: Mapping[str, Any]) -> dict[str, str]:
    """The protocol in words, by what it says."""
    if not protocol:
        return {}
    chosen: Mapping[str, Any] = protocol.get("eval") or {}
    grounded = str(protocol.get("grounded", ""))
    facts = {
        "start checkpoint": str(protocol["model"]),
        "seeds": ", ".join(map(str, protocol["seeds"])),
        "budgets": ", ".join(map(str, protocol["budgets"])),
        "grounded questions": "what the run's filter keeps" if grounded == "filtered" else grounded,
        "benchmarks": ", ".join(map(str, chosen.get("benchmarks", ()))),
        "frames": ", ".join(map(str, chosen.get("frames", ()))),
        "checkpoint that is evaluated": str(protocol.get("checkpoint", "")),
        "intervals": str(protocol.get("interval", "")),
    }
    return {name: text for name, text in facts.items() if text}


def _conditions(root: Path, result: Mapping[str, Any]) -> Iterator[Condition]:
    """From results.json; before that is written, from the folders under data."""
    users: dict[str, dict[str, None]] = {}
    for row in result.get("arms", ()):
        for name in row.get("data", ()):
            users.setdefault(str(name), {})[str(row["name"])] = None
    rows = list(result.get("data", ())) or [{"name": path.name} for path in _folders(root / "data")]
    full = max((int(row.get("questions") or 0) for row in rows), default=0)
    for row in rows:
        name = str(row["name"])
        made = _result(root / "data" / name)
        questions = int(row.get("questions") or made.get("kept") or 0)
        whole = int(made.get("total") or full)
        reasons = sorted(((str(text), int(number)) for text, number in (made.get("reasons") or {}).items()), key=lambda item: -item[1])
        yield Condition(
            name=name,
            questions=questions,
            grounded=row.get("grounded"),
            share=questions / whole if whole else 0.0,
            arms=tuple(users.get(name, ())),
            policies=tuple(f"{each['name']} {each['version']}" for each in made.get("policies") or ()),
            reasons=tuple(reason for reason in reasons if reason[0] != "kept")[:_REASONS],
        )


def _runs(root: Path, result: Mapping[str, Any]) -> Iterator[RunState]:
    """Every run of which there is a trace, then those that results.json misses."""
    times = {str(row.get("run")): row for row in read_objects(root / "runs.jsonl")}
    keys = dict.fromkeys([START, *(path.name for path in _folders(root / "train"))])
    for key in [*keys, *(str(key) for key in result.get("missing_runs", ()) if key not in keys)]:
        trained, evaluated = _record(root / "train" / key), _record(root / "eval" / key)
        if key == START and not evaluated:
            continue
        made: Mapping[str, Any] = trained.get("result") or {}
        time = times.get(key, {})
        parts = [part for part in (trained, evaluated) if part]
        worst = next((part for part in parts if part.get("status") != "done"), parts[0] if parts else {})
        whole = worst.get("status") == "done" and not evaluated
        yield RunState(
            key=key,
            state="not evaluated" if whole else str(worst.get("status") or "not started"),
            reason=str(worst.get("reason") or ""),
            prompts=made.get("prompts"),
            tokens=made.get("tokens"),
            training=time.get("training_s"),
            evaluation=time.get("evaluation_s"),
        )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if (path / RECORD).is_file()) if folder.is_dir() else []


def _record(folder: Path) -> Mapping[str, Any]:
    return read_record(folder) if (folder / RECORD).is_file() else {}


def _result(folder: Path) -> Mapping[str, Any]:
    return _record(folder).get("result") or {}
