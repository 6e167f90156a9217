"""The page as one HTML file: style, script and charts inside it, every text from the data escaped, no other script let run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from . import ablation_page
from .audits import shared_judges
from .data import Estimate, Judge, ReportData
from .figures import curves_text, plot, stacked
from .wording import FILTERS, checkpoint_meaning, count, counted, percent, percent_bare

_TEMPLATES = Path(__file__).parent / "templates"
_BROWSER = ("browser-data", "browser-search", "browser-pane", "browser")
_VENDOR = Path(__file__).parent / "vendor"


@dataclass(frozen=True, slots=True)
class Fact:
    """A headline number."""

    value: str
    name: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page; `part` is the template macro that fills it, in the template `source`."""

    part: str
    id: str
    title: str
    source: str = "parts"


def render(data: ReportData) -> str:
    """The page of `data`. The same data give the same text."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update({**FILTERS, **ablation_page.FILTERS})
    files = [_VENDOR / "virtual-core.js", *(_TEMPLATES / f"{name}.js" for name in _BROWSER)] if data.browser else []
    scripts = [path.read_text(encoding="utf-8") for path in files]
    style = "".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "browser.css"))
    environment.globals.update(stacked=stacked, plot=plot, curves_text=curves_text, data=data)
    environment.globals.update(facts=facts(data), shared_judges=shared_judges(data.audits), **ablation_page.names(data.ablation))
    environment.globals.update(style=Markup(style), scripts=[Markup(script) for script in scripts])  # noqa: S704 - this package's own files
    policy = _policy(style, scripts, data)
    return environment.get_template("page.html.jinja").render(sections=sections(data), lead=lead(data), policy=policy)


def _policy(style: str, scripts: Sequence[str], data: ReportData) -> str:
    """Nothing but this page's own style and scripts, named by digest, may run or load.

    With the browser or rollouts also pictures that lie in the page; with the browser scripts that carry the digest of all the questions'
    data: those beside it.
    """
    browser = data.browser
    sources = [_digest(script) for script in scripts] + ([f"'nonce-{browser.nonce}'"] if browser and browser.nonce else [])
    code = " ".join(sources) or "'none'"
    pictures = " img-src data:;" if browser or data.rollouts else ""
    return f"default-src 'none';{pictures} style-src {_digest(style)}; script-src {code}; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def sections(data: ReportData) -> tuple[Section, ...]:
    """The sections there are data for, in the order of the page."""
    present = (
        (bool(facts(data)), Section("summary", "summary", "Summary")),
        *((True, Section(name, name, title, "ablation")) for name, title in ablation_page.sections(data.ablation)),
        (data.flow is not None, Section("flow", "flow", "From rows read to questions kept")),
        (bool(data.audits), Section("audit", "audit", "Accuracy without watching")),
        (bool(data.agreements) and bool(data.audits), Section("agreement", "agreement", "Agreement between judges")),
        (bool(data.benchmarks), Section("accuracy", "accuracy", "Accuracy before and after" if _several_checkpoints(data) else "Accuracy")),
        (bool(data.detectors), Section("detectors", "detectors", "What the detectors say")),
        (bool(data.agreements) and not data.audits, Section("agreement", "agreement", "Agreement between detectors")),
        (bool(data.planted), Section("planted", "planted", "Detectors against the planted truth")),
        (bool(data.training), Section("training", "training", "Training")),
        (bool(data.rollouts), Section("rollouts", "rollouts", "Rollouts")),
        (data.browser is not None, Section("questions", "questions", "Questions")),
        (data.set_aside is not None, Section("set_aside", "set-aside", "Set aside")),
        (bool(data.steps), Section("settings", "settings", "Settings and versions")),
    )
    return tuple(section for there, section in present if there)


def _several_checkpoints(data: ReportData) -> bool:
    return any(len(benchmark.checkpoints) > 1 for benchmark in data.benchmarks)


def facts(data: ReportData) -> tuple[Fact, ...]:
    """The headline numbers."""
    if data.ablation:
        return tuple(Fact(*fact) for fact in ablation_page.facts(data.ablation))
    found: list[Fact] = []
    if data.flow:
        flow = data.flow
        found.append(Fact(count(flow.questions), "questions", f"{counted(flow.set_aside, 'more row')} set aside"))
        if flow.dropped is not None and flow.kept is not None and flow.questions:
            found.append(Fact(percent(flow.dropped / flow.questions), "dropped", counted(flow.dropped, "question")))
            found.append(Fact(percent(flow.kept / flow.questions), "kept", counted(flow.kept, "question")))
    return (*found, *(_audit_facts(data) if data.audits else _detector_facts(data)), *_accuracy_facts(data))


def _detector_facts(data: ReportData) -> list[Fact]:
    return [
        Fact(percent(one.rate.value), f"answered without watching by {one.name}", _interval_note(one.rate, one.chance))
        for one in data.detectors
        if one.rate
    ]


def _audit_facts(data: ReportData) -> list[Fact]:
    """All judges of one benchmark; of several benchmarks each one's judge with the highest accuracy."""
    found = []
    for one in data.audits:
        rated = [(judge.accuracy, judge) for judge in one.judges if judge.accuracy and not judge.baseline]
        if len(data.audits) == 1:
            found += [Fact(percent(rate.value), f"right without watching: {by.name}", _judge_note(rate, by)) for rate, by in rated]
        elif rated:
            rate, by = max(rated, key=lambda pair: pair[0].value)
            found.append(
                Fact(percent(rate.value), f"right on {one.name} without watching: {by.name}, the best judge", _judge_note(rate, by))
            )
    return found


def _judge_note(rate: Estimate, judge: Judge) -> str:
    refused = f"; {percent(judge.refused)} refused" if judge.refused else ""
    return _interval_note(rate, judge.chance) + refused


def _interval_note(rate: Estimate, chance: float | None) -> str:
    beside = "" if chance is None else f"; chance {percent_bare(chance)}"
    return f"95% interval {percent_bare(rate.low)} to {percent_bare(rate.high)}{beside}"


def _accuracy_facts(data: ReportData) -> list[Fact]:
    """Each checkpoint on the first split of the first benchmark, which is VG where there is one."""
    if not data.benchmarks:
        return []
    benchmark = data.benchmarks[0]
    split = benchmark.splits[0] if benchmark.splits else ""
    scores = [score for score in benchmark.scores if score.split == split]
    return [
        Fact(
            percent(score.accuracy.value),
            f"accuracy on {split.upper() if split in ('vg', 'ta') else split}, {checkpoint_meaning(score.checkpoint) or score.checkpoint}",
            f"95% interval {percent_bare(score.accuracy.low)} to {percent_bare(score.accuracy.high)}; {benchmark.name}",
        )
        for score in scores
    ]


def lead(data: ReportData) -> str:
    """One sentence on what the page is about."""
    verb = data.steps[0].verb if data.steps else ""
    return {
        "run": "Which questions can be answered without watching, what training on the others changed, and by how much.",
        "detect": "Which questions can be answered without watching the video.",
        "audit": f"How far {'these benchmarks' if len(data.audits) > 1 else 'this benchmark'} can be answered without watching.",
        "filter": "Which questions were kept for training, which were dropped, and why.",
        "train": "How the training went.",
        "ablate": "Which data and which method trained the better model, with equal means, and by how much beyond noise.",
        "eval": "How accurately the checkpoint answers, on which questions.",
    }.get(verb, "What this run did.")
