"""The judges of an audit, one by one and in pairs, from what `vg audit` found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidground_core.errors import RunDirectoryError
from vidground_core.experiments.audit_tables import short_names
from vidground_core.experiments.auditing import audits_of

from .data import AuditReport, Estimate, Judge, JudgePair

_OUTCOMES = ("refused", "unparsed", "failed")


def audit_reports(result: Mapping[str, Any], where: Path) -> tuple[AuditReport, ...]:
    """The audits in the object of `vg audit --json`, empty where there is none. Raises RunDirectoryError where it is of another shape."""
    if not result:
        return ()
    try:
        audits = audits_of(result)
        names = short_names([str(audit["dataset"]) for audit in audits])
        return tuple(_report(audit, name) for audit, name in zip(audits, names, strict=True))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunDirectoryError(f"{where}: not the result of vg audit: {type(error).__name__}: {error}; run vg audit again") from error


def shared_judges(audits: tuple[AuditReport, ...]) -> tuple[str, ...]:
    """The names of all judges that ask or count something, in the order met; baselines are left out."""
    return tuple(dict.fromkeys(judge.name for audit in audits for judge in audit.judges if not judge.baseline))


def _report(audit: Mapping[str, Any], name: str) -> AuditReport:
    rows = [(row, False) for row in audit["judges"]] + [(row, True) for row in audit.get("baselines", ())]
    return AuditReport(
        dataset=str(audit["dataset"]),
        name=name,
        questions=int(audit["questions"]),
        chance=audit.get("chance"),
        judges=tuple(_judge(row, baseline=baseline) for row, baseline in rows),
        pairs=tuple(_pair(pair) for pair in audit.get("agreement", ())),
        answered_by={str(judges): int(questions) for judges, questions in (audit.get("answered_by") or {}).items()},
    )


def _judge(row: Mapping[str, Any], *, baseline: bool) -> Judge:
    refused, unparsed, failed = (float(row.get(outcome) or 0) for outcome in _OUTCOMES)
    return Judge(
        name=str(row["name"]),
        baseline=baseline,
        accuracy=_estimate(row, "accuracy", "interval"),
        chance=row.get("chance"),
        refused=refused,
        unparsed=unparsed,
        failed=failed,
        note=str(row.get("note") or ""),
        gain=_estimate(row, "gain"),
        corrected=_estimate(row, "corrected"),
        attempted=_estimate(row, "attempted") if refused or unparsed else None,
        explanation=str(row.get("explanation") or ""),
    )


def _pair(row: Mapping[str, Any]) -> JudgePair:
    kappa, jaccard_vg, difference = (_estimate(row, name) for name in ("kappa", "jaccard_vg", "difference"))
    return JudgePair(
        str(row["first"]), str(row["second"]), int(row["n"]), row["overlap"], kappa, jaccard_vg, difference, row.get("mcnemar_p")
    )


def _estimate(row: Mapping[str, Any], name: str, interval: str = "") -> Estimate | None:
    value, bounds = row.get(name), row.get(interval or f"{name}_interval")
    if value is None or bounds is None:
        return None
    low, high = bounds
    return Estimate(float(value), float(low), float(high), int(row["n"]))
