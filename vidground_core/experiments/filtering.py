"""vg filter: verdicts become decisions, the curated set, and the dropped set with reasons."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vidground_core.errors import RunDirectoryError
from vidground_core.experiments.assembly import Assembly, described
from vidground_core.experiments.context import Context
from vidground_core.experiments.policies import Composition
from vidground_core.filters.base import Filter
from vidground_core.records import Decision, Question
from vidground_core.runs.directory import RunDirectory, read_record
from vidground_core.runs.judged import judged_rows
from vidground_core.runs.layout import Layout
from vidground_core.tables import TableWriter

STEPS = "steps"


def filter_set(
    source: Path,
    assembly: Assembly,
    out: Path,
    context: Context,
    *,
    passed: Mapping[str, Any],
    policies: Sequence[Filter[Any]] = (),
) -> dict[str, Any]:
    """Applies policies, each to what the one before kept, to the verdicts in `source`; returns the object of `vg filter --json`.

    Without `policies` the assembly's filters are applied. `out` is self-contained: questions kept and dropped, decisions, verdicts and
    set-aside rows; with several policies the decisions of all but the last stand in `steps/` too. Raises RunDirectoryError where `source`
    is no finished detection or audit.
    """
    record = read_record(source)
    if record["verb"] not in ("detect", "audit") or not (source / "verdicts").is_dir():
        below = [str(source / name) for name in record["resolved"].get("datasets", ())]
        hint = f"; name one of its data sets: {', '.join(below)}" if below else ""
        raise RunDirectoryError(
            f"{str(source)!r} was made by 'vg {record['verb']}'; vg filter needs the directory of a 'vg detect', or of a 'vg audit' of one"
            f" data set{hint}"
        )
    if record["status"] != "done":
        raise RunDirectoryError(
            f"{str(source)!r} is not finished ({record['status']}): run its vg {record['verb']} again first, it resumes"
        )
    chosen = list(policies) or assembly.filters()
    shown = {"filter": described(chosen[0])} if len(chosen) == 1 else {"filters": [described(policy) for policy in chosen]}
    resolved = {"source": str(source), "detection": record["resolved"], **shown}
    with RunDirectory.open(out, "filter", passed=passed, resolved=resolved) as directory:
        if directory.done and directory.result is not None:
            return directory.result
        context.emit("step-started", "filter", out=str(out))
        shutil.rmtree(out / STEPS, ignore_errors=True)
        composition = Composition(chosen, judged_rows(source), out / STEPS, context.registry)
        result = _result(composition, out, _written(composition, out))
        _copy_evidence(source, out)
        directory.finish(result)
        context.emit("step-finished", "filter", kept=result["kept"], dropped=result["dropped"])
        return result


def _written(composition: Composition, out: Path) -> Counter[tuple[bool, str]]:
    counts: Counter[tuple[bool, str]] = Counter()
    with ExitStack() as stack:
        kept = stack.enter_context(TableWriter(out / "kept", Question))
        dropped = stack.enter_context(TableWriter(out / "dropped", Question))
        decisions = stack.enter_context(TableWriter(out / "decisions", Decision))
        for question, decision in composition.decisions():
            decisions.add(decision)
            (kept if decision.kept else dropped).add(question)
            counts[decision.kept, decision.reason] += 1
    return counts


def _copy_evidence(source: Path, out: Path) -> None:
    shutil.rmtree(out / "verdicts", ignore_errors=True)
    shutil.copytree(source / "verdicts", out / "verdicts")
    if Layout(source).set_aside_file.exists():
        shutil.copyfile(Layout(source).set_aside_file, Layout(out).set_aside_file)


def _result(composition: Composition, out: Path, counts: Counter[tuple[bool, str]]) -> dict[str, Any]:
    kept = sum(n for (keep, _), n in counts.items() if keep)
    reasons: Counter[str] = Counter()
    for (_, reason), n in counts.items():
        reasons[reason] += n
    errors = composition.expected_errors()
    steps = composition.results
    return {
        "out": str(out),
        "policy": " + ".join(step.name for step in steps),
        "version": " + ".join(step.version for step in steps),
        "total": sum(counts.values()),
        "kept": kept,
        "dropped": sum(counts.values()) - kept,
        "reasons": dict(reasons),
        "policies": [
            {
                "name": step.name,
                "version": step.version,
                "reached": step.reached,
                "dropped": step.dropped,
                "expected_false_drops": step.expected_false_drops,
            }
            for step in steps
        ],
        "expected_false_drops": errors.false_drops,
        "expected_false_keeps": errors.false_keeps,
        "expected_errors_note": errors.note,
    }
