"""What an export starts from: the questions of a filtered directory or any data set, and all that is known of how they were chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidground_core.errors import InputError, RunDirectoryError
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.judge_rates import judge_rates
from vidground_core.experiments.training import question_folder
from vidground_core.exports.base import Curation, Judged
from vidground_core.records import Decision, Question, SetAside
from vidground_core.runs.directory import RECORD, read_record
from vidground_core.runs.layout import Layout
from vidground_core.tables import count, parts, read


@dataclass(frozen=True)
class Source:
    """A set to export. `made` changes when the set does; `record` is the run.json it came with, if any; `notes` are for a person."""

    name: str
    questions: Callable[[], Iterator[Question]]
    rows: int
    made: Mapping[str, Any]
    folder: Path | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def policy(self) -> bool:
        """Whether a filter chose the questions, so that there are dropped ones."""
        return self.record.get("verb") == "filter"

    @property
    def set_aside(self) -> Path | None:
        """The rows that were set aside when the set was read, where there is such a list."""
        file = Layout(self.folder).set_aside_file if self.folder and self.record else None
        return file if file is not None and file.exists() else None

    @property
    def dropped_rows(self) -> int:
        """How many questions the filter dropped."""
        return count(self.folder / "dropped") if self.policy and self.folder else 0

    def dropped(self) -> Iterator[tuple[Question, Decision]]:
        """The dropped questions with their decisions, in the order of the set. Raises InputError where the tables do not fit."""
        if self.folder is None:
            return
        for question, decision in _decided(self.folder):
            if not decision.kept:
                yield question, decision

    def curation(self, *, judges: bool) -> Curation:
        """What is known of the choice; with `judges` all verdicts are read for their rates."""
        detection = self.record.get("resolved", {})
        if not self.record or self.record["verb"] not in ("filter", "detect", "audit"):
            return Curation(self.name, total=self.rows, kept=self.rows)
        versions = {name: value for name, value in self.record["versions"].items() if name.startswith(("vidground", "python"))}
        if not self.policy:
            found = self._judges(detection) if judges else ()
            return Curation(_dataset(detection) or self.name, total=self.rows, kept=self.rows, judges=found, versions=versions)
        result, detection = self.record["result"], self.record["resolved"]["detection"]
        return Curation(
            _dataset(detection) or self.name,
            policy=result["policy"],
            version=result["version"],
            options=_options(self.record["resolved"]),
            total=result["total"],
            kept=result["kept"],
            reasons=result["reasons"],
            judges=self._judges(detection) if judges else (),
            expected_false_drops=result["expected_false_drops"],
            expected_errors_note=result["expected_errors_note"],
            versions=versions,
        )

    def _judges(self, detection: Mapping[str, Any]) -> tuple[Judged, ...]:
        if self.folder is None or not (self.folder / "verdicts").is_dir():
            return ()
        described = detection.get("detectors", {})
        found = []
        for one in judge_rates(self.folder):
            options = described.get(one.name, described.get(one.name.partition(":")[0], {}))
            low_high = (one.accuracy.low, one.accuracy.high) if one.accuracy else None
            rates = (one.accuracy.value if one.accuracy else None, one.chance, one.corrected)
            asked = (one.rule, _prompt(options), _model(options))
            found.append(Judged(one.name, str(options.get("version", "")), one.n, *rates, low_high, one.answered, *asked))
        return tuple(found)


def find_source(data: str, assembly: Assembly) -> Source:
    """The set that `data` names: the directory of vg filter, vg detect or vg run, a table of questions, or a data set as NAME:PATH.

    Raises RunDirectoryError for a run that is not finished, InputError where there is no question.
    """
    folder = Path(data)
    record = read_record(folder) if (folder / RECORD).is_file() else {}
    if record.get("verb") == "run" and (folder / "filter" / RECORD).is_file():
        folder = folder / "filter"
        record = read_record(folder)
    table = question_folder(folder)
    if table is None:
        return _of_dataset(data, assembly)
    if record and record["status"] != "done":
        raise RunDirectoryError(
            f"{str(folder)!r} is not finished ({record['status']}): run its vg {record['verb']} again first, it resumes"
        )
    rows = count(table)
    if not rows:
        raise InputError(
            f"{str(folder)!r} holds no question to export" + ("; the filter kept none" if record.get("verb") == "filter" else "")
        )
    made = {"finished": record.get("finished"), "rows": rows, "parts": [part.stat().st_size for part in parts(table)]}
    notes = _turns(record.get("resolved", {}), assembly)
    return Source(data, lambda: read(table, Question), rows, made, folder, record, notes)


def _of_dataset(data: str, assembly: Assembly) -> Source:
    dataset = assembly.dataset(data)
    skipped = (row for row in dataset.rows() if isinstance(row, Question))
    if next(skipped, None) is None:
        raise InputError(f"{data!r} holds no question to export")
    made = {"dataset": {"name": dataset.loader.name, "version": dataset.loader.version, **dataset.loader.config.model_dump(mode="json")}}
    notes = _turns({"dataset": made["dataset"]}, assembly)
    return Source(data, lambda: _only_questions(dataset.rows()), 0, made, notes=notes)


def _only_questions(rows: Iterator[Question | SetAside]) -> Iterator[Question]:
    return (row for row in rows if isinstance(row, Question))


def _turns(resolved: Mapping[str, Any], assembly: Assembly) -> tuple[str, ...]:
    """A note where the source has conversations of several turns."""
    dataset = resolved.get("detection", resolved).get("dataset", {})
    name = dataset.get("name", "")
    if name not in assembly.registry.names("dataset") or not assembly.registry.get("dataset", name).several_turns:
        return ()
    return (f"{name} has conversations of several turns: each turn is a row of its own, without the turns before; ids ID, ID-1, … tell",)


def _decided(folder: Path) -> Iterator[tuple[Question, Decision]]:
    kept, dropped = read(folder / "kept", Question), read(folder / "dropped", Question)
    for decision in read(folder / "decisions", Decision):
        question = next(kept if decision.kept else dropped, None)
        if question is None or question.id != decision.question:
            stands = "nothing" if question is None else repr(question.id)
            raise InputError(f"{folder}: the decision on {decision.question!r} stands where {stands} is; run vg filter again")
        yield question, decision


def _dataset(detection: Mapping[str, Any]) -> str:
    dataset = detection.get("dataset", {})
    return f"{dataset.get('name', '')}:{dataset.get('path', '')}".strip(":")


def _options(resolved: Mapping[str, Any]) -> dict[str, Any]:
    if "filter" in resolved:
        return {name: value for name, value in resolved["filter"].items() if name not in ("name", "version")}
    return {one["name"]: {k: v for k, v in one.items() if k not in ("name", "version")} for one in resolved.get("filters", ())}


def _prompt(options: Mapping[str, Any]) -> str:
    prompt = options.get("prompt", "")
    return str(prompt.get("name", "")) if isinstance(prompt, Mapping) else str(prompt)


def _model(options: Mapping[str, Any]) -> str:
    engines = options.get("engines", {})
    return ", ".join(dict.fromkeys(str(engines[role]) for role in engines)) if engines else str(options.get("model", "") or "")
