"""From a run directory to the data of its page; reads only, and streams over the tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidground_core.runs.directory import read_record

from .ablation_collect import ablation_report
from .accuracy import benchmark_reports
from .agreements import agreement_report, audit_agreements
from .audits import audit_reports
from .browser import BrowserWriter
from .data import AuditReport, DetectorReport, Flow, ReportData, Step
from .places import Places, locate
from .rollouts import first_runs, rollout_reports
from .rows import read_rows
from .set_aside import SetAsideRows, top_reasons
from .survey import Survey
from .training import training_reports


def collect(directory: Path, browser: BrowserWriter | None = None) -> ReportData:
    """Everything the page of a run directory shows; `browser` is handed all questions on the way.

    Raises InputError or RunDirectoryError where the directory is not one, is of another format or its tables do not match.
    """
    places = locate(directory)
    runs = {folder: read_record(folder) for folder in places.step_folders}
    training = training_reports(places.train)
    benchmarks = benchmark_reports(places.evals)
    audits = audit_reports(_audit_result(places, runs), directory)
    base = ReportData(
        name=directory.resolve().name,
        steps=tuple(_step(directory, folder, run) for folder, run in runs.items()),
        training=training,
        rollouts=rollout_reports(first_runs(directory) if places.verb == "ablate" else places.train),
        benchmarks=benchmarks,
        audits=audits,
        agreements=audit_agreements(audits),
        detectors=tuple(_of_audits(places, audits)),
        ablation=ablation_report(directory) if places.verb == "ablate" else None,
    )
    if places.questions:
        return _with_questions(base, places, runs, browser)
    if browser:
        browser.add_audits(places)
    return replace(
        base, set_aside=SetAsideRows(places.set_aside, *places.audits.values()).report(), browser=browser.finish() if browser else None
    )


def _with_questions(base: ReportData, places: Places, runs: Mapping[Path, Mapping[str, Any]], browser: BrowserWriter | None) -> ReportData:
    survey = Survey()
    aside = SetAsideRows(places.set_aside)
    for row in read_rows(places):
        survey.add(row)
        aside.meet(row.question)
        if browser:
            browser.add(row)
    return replace(
        base,
        flow=_flow(survey, aside, _result(runs, "filter")),
        detectors=tuple(_with_counts(report, _result(runs, "detect")) for report in survey.detectors()),
        agreements=base.agreements or agreement_report(survey.said(), survey.groups()),
        planted=survey.planted(held_out_mechanisms(runs)),
        browser=browser.finish() if browser else None,
        set_aside=aside.report(),
    )


def _of_audits(places: Places, audits: Sequence[AuditReport]) -> Iterator[DetectorReport]:
    """The detectors on each of several benchmarks whose audit is done, in the audits' order."""
    folders = {str((read_record(folder).get("result") or {}).get("dataset", "")): folder for folder in places.audits.values()}
    for audit in audits:
        survey = Survey()
        for row in read_rows(locate(folders[audit.dataset])) if audit.dataset in folders else ():
            survey.add(row)
        yield from (replace(report, dataset=audit.name) for report in survey.detectors())


def _step(root: Path, folder: Path, run: Mapping[str, Any]) -> Step:
    return Step(
        folder=str(folder.relative_to(root)),
        verb=str(run.get("verb", "")),
        status=str(run.get("status", "")),
        started=str(run.get("started") or ""),
        finished=str(run.get("finished") or ""),
        git=str(run.get("git") or ""),
        passed=run.get("passed") or {},
        resolved=run.get("resolved") or {},
        versions=run.get("versions") or {},
        argv=tuple(str(part) for part in run.get("argv") or ()),
        reason=str(run.get("reason") or ""),
    )


def _result(runs: Mapping[Path, Mapping[str, Any]], verb: str) -> Mapping[str, Any]:
    """The `--json` object of a verb, from its own run.json or from the whole run's, which has it under the verb's name."""
    for run in runs.values():
        result = run.get("result")
        if not isinstance(result, Mapping):
            continue
        if run.get("verb") == verb:
            return result
        if run.get("verb") == "run" and isinstance(result.get(verb), Mapping):
            return dict(result[verb])
    return {}


def _audit_result(places: Places, runs: Mapping[Path, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The object of `vg audit`; of several benchmarks of which not all are done, those that are."""
    whole = runs[places.root].get("result")
    if not places.audits or isinstance(whole, Mapping):
        return _result(runs, "audit")
    done = [run["result"] for folder, run in runs.items() if folder != places.root and isinstance(run.get("result"), Mapping)]
    return {"audits": done} if done else {}


def _with_counts(report: DetectorReport, result: Mapping[str, Any]) -> DetectorReport:
    for row in result.get("detectors", ()):
        if row.get("name") == report.name:
            return replace(report, version=str(row.get("version", "")), asked=row.get("asked"), reused=row.get("reused"))
    return report


def _flow(survey: Survey, aside: SetAsideRows, result: Mapping[str, Any]) -> Flow:
    decided = survey.kept + survey.dropped > 0
    early = aside.total - aside.late_rows
    return Flow(
        rows=survey.questions + early,
        set_aside=early,
        questions=survey.questions,
        media_failed=aside.late_questions,
        judged=survey.judged,
        dropped=survey.dropped if decided else None,
        kept=survey.kept if decided else None,
        drop_reasons=top_reasons(survey.reasons[False]),
        keep_reasons=top_reasons(survey.reasons[True]),
        policy=survey.policy,
        expected_false_drops=result.get("expected_false_drops"),
        expected_false_keeps=result.get("expected_false_keeps"),
        expected_note=str(result.get("expected_errors_note") or ""),
    )


def held_out_mechanisms(runs: Mapping[Path, Mapping[str, Any]]) -> frozenset[str]:
    """Planted mechanisms that the shipped nano model never saw in training, when a step used that model; else none."""
    if not any(re.search(r"\bnano\b", json.dumps(run.get("resolved") or {})) for run in runs.values()):
        return frozenset()
    from vidground_core.models import resolve_model

    try:
        facts = json.loads((Path(resolve_model("nano")) / "nano.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return frozenset()
    return frozenset(facts.get("held_out_mechanisms", ()))
