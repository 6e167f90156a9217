"""vg filter: verdicts become decisions, the curated set, and the dropped set with reasons."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vidground_core.errors import PluginError, RunDirectoryError
from vidground_core.experiments.assembly import Assembly, described
from vidground_core.experiments.context import Context
from vidground_core.filters.base import Filter
from vidground_core.plugins import blame
from vidground_core.records import Decision, Question
from vidground_core.runs.directory import RunDirectory, read_record
from vidground_core.runs.judged import judged_rows
from vidground_core.runs.layout import Layout
from vidground_core.tables import TableWriter


def filter_set(source: Path, assembly: Assembly, out: Path, context: Context, *, passed: Mapping[str, Any]) -> dict[str, Any]:
    """Applies the policy to the verdicts in `source` (what `vg detect` wrote) and returns the object of `vg filter --json`.

    `out` is self-contained: questions kept and dropped, decisions, verdicts and set-aside rows. Raises RunDirectoryError where
    `source` is no finished detection.
    """
    record = read_record(source)
    if record["verb"] != "detect" or not (source / "verdicts").is_dir():
        raise RunDirectoryError(f"{str(source)!r} was made by 'vg {record['verb']}'; vg filter needs the directory of a 'vg detect'")
    if record["status"] != "done":
        raise RunDirectoryError(f"{str(source)!r} is not finished ({record['status']}): run its vg detect again first, it resumes")
    policy = assembly.filter()
    resolved = {"source": str(source), "detection": record["resolved"], "filter": described(policy)}
    with RunDirectory.open(out, "filter", passed=passed, resolved=resolved) as directory:
        if directory.done and directory.result is not None:
            return directory.result
        context.emit("step-started", "filter", out=str(out))
        counts = _decide(policy, source, out, context)
        _copy_evidence(source, out)
        result = _result(policy, source, out, counts)
        directory.finish(result)
        context.emit("step-finished", "filter", kept=result["kept"], dropped=result["dropped"])
        return result


def _decide(policy: Filter[Any], source: Path, out: Path, context: Context) -> Counter[tuple[bool, str]]:
    counts: Counter[tuple[bool, str]] = Counter()
    rows = judged_rows(source)
    with ExitStack() as stack:
        kept = stack.enter_context(TableWriter(out / "kept", Question))
        dropped = stack.enter_context(TableWriter(out / "dropped", Question))
        decisions = stack.enter_context(TableWriter(out / "decisions", Decision))
        stack.enter_context(blame("filter", policy.name, context.registry.origin("filter", policy.name)))
        taken = policy.decide(rows)
        for (question, _), decision in zip(rows(), taken, strict=True):
            if decision.question != question.id:
                raise PluginError(
                    f"filter {policy.name!r} decided {decision.question!r} where question {question.id!r} stands; keep the order"
                )
            decisions.add(decision)
            (kept if decision.kept else dropped).add(question)
            counts[decision.kept, decision.reason] += 1
    return counts


def _copy_evidence(source: Path, out: Path) -> None:
    shutil.rmtree(out / "verdicts", ignore_errors=True)
    shutil.copytree(source / "verdicts", out / "verdicts")
    if Layout(source).set_aside_file.exists():
        shutil.copyfile(Layout(source).set_aside_file, Layout(out).set_aside_file)


def _result(policy: Filter[Any], source: Path, out: Path, counts: Counter[tuple[bool, str]]) -> dict[str, Any]:
    kept = sum(n for (keep, _), n in counts.items() if keep)
    reasons: Counter[str] = Counter()
    for (_, reason), n in counts.items():
        reasons[reason] += n
    errors = policy.expected_errors(judged_rows(source))
    return {
        "out": str(out),
        "policy": policy.name,
        "version": policy.version,
        "total": sum(counts.values()),
        "kept": kept,
        "dropped": sum(counts.values()) - kept,
        "reasons": dict(reasons),
        "expected_false_drops": errors.false_drops,
        "expected_false_keeps": errors.false_keeps,
        "expected_errors_note": errors.note,
    }
