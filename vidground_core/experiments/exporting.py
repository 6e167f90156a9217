"""vg export: a curated set, or any data set, in the formats of foreign trainers, with what was dropped and why beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from vidground_core.errors import InputError
from vidground_core.experiments.assembly import Assembly, described
from vidground_core.experiments.context import Context
from vidground_core.experiments.curation import Source, find_source
from vidground_core.exports.base import Curation, Exporter, ExportJob
from vidground_core.exports.rows import RowExporter, RowSink, record_of
from vidground_core.plugins import blame
from vidground_core.records import Question
from vidground_core.runs.directory import RunDirectory
from vidground_core.runs.durable import write_json
from vidground_core.runs.standing import Standing

MANIFEST = "export.json"
DROPPED = "dropped.jsonl"
NOT_EXPORTED = "not_exported.jsonl"
_FORMAT = 1
_TOLD_EVERY = 1_000


@dataclass(frozen=True)
class ExportRequest:
    """What `vg export` is asked: `data` is a filtered directory, a table of questions, or any data set as NAME:PATH."""

    data: str
    out: Path
    exporters: Sequence[Exporter[Any]]


def export_set(request: ExportRequest, assembly: Assembly, context: Context, *, passed: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the export and returns the object of `vg export --json`.

    One format is written into `out` itself, several each into a folder of its name below, from one reading of the questions; then the
    object has each one's under `exports`. What is done already is not done again. Raises InputError where nothing could be exported.
    """
    source = find_source(request.data, assembly)
    for exporter in request.exporters:
        exporter.check(request.out)
    resolved = {"source": request.data, "made": source.made, "exporters": {one.name: described(one) for one in request.exporters}}
    with RunDirectory.open(request.out, "export", passed=passed, resolved=resolved) as directory:
        if directory.done and directory.result is not None:
            gone = [file for file in written_files(directory.result) if not Path(file).exists()]
            if not gone:
                context.note(f"{request.out}: exported before from the same set with the same options; nothing is written")
                return directory.result
            more = f" and {len(gone) - 1} more are" if len(gone) > 1 else " is"
            context.note(f"{request.out}: exported before, but {gone[0]}{more} gone; all is written again")
            directory.reopen()
        context.emit("step-started", "export", out=str(request.out))
        result = _Export(request, source, context).run()
        directory.finish(result)
        context.emit("step-finished", "export", rows=result["rows"])
        return result


def written_files(result: Mapping[str, Any]) -> list[str]:
    """The files that an export's result lists, of all its formats."""
    return [file for one in result.get("exports", [result]) for file in one["files"]]


class _Target:
    """One exporter, its folder, and what it could not write."""

    def __init__(self, exporter: Exporter[Any], out: Path, curation: Curation, dropped: Path | None) -> None:
        self.exporter, self.out = exporter, out
        self.refused, self.first = 0, ""
        out.mkdir(parents=True, exist_ok=True)
        (out / MANIFEST).unlink(missing_ok=True)
        self.job = ExportJob(out, self._set_aside, curation, dropped)
        self._extras = ExportJob(out, self._set_aside)
        self._refusals = self._extras.file(NOT_EXPORTED).open("wb")

    def _set_aside(self, question: Question, reason: str) -> None:
        self.refused += 1
        self.first = self.first or f"{question.id!r}: {reason}"
        row = {"id": question.id, "reason": reason, "vidground": record_of(question)}
        self._refusals.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))

    def finish(self, questions: int, source: Source) -> dict[str, Any]:
        """Gives the files their names and writes the manifest, which says that the export is whole."""
        name, rows = self.exporter.name, questions - self.refused
        self._refusals.close()
        if not rows:
            raise InputError(
                f"{name}: none of {questions} questions could be exported"
                + (f"; the first: {self.first}\nwith media elsewhere: --set missing=keep" if self.first else "")
            )
        if self.job.dropped is not None:
            shutil.copyfile(self.job.dropped, self._extras.file(DROPPED))
        if source.set_aside is not None:
            shutil.copyfile(source.set_aside, self._extras.file(source.set_aside.name))
        files = self.job.finish()
        beside = self._extras.finish()
        loads = [str(file) for file in self.exporter.loads or tuple(self.job.rows)]
        manifest = {"format": _FORMAT, "exporter": described(self.exporter), "source": source.name, "rows": rows}
        manifest |= {"files": [str(file.relative_to(self.out)) for file in files], "loads": loads, "record": self.exporter.record}
        write_json(self.out / MANIFEST, manifest)
        counts = {"questions": questions, "rows": rows, "not_exported": self.refused, "first_not_exported": self.first}
        return {
            "out": str(self.out),
            "format": name,
            **counts,
            "dropped": source.dropped_rows,
            "files": [str(file) for file in (*files, *beside, self.out / MANIFEST)],
            "notes": list(source.notes),
        }

    def discard(self) -> None:
        """Removes files without a name."""
        self._refusals.close()
        self.job.discard()
        self._extras.discard()


class _Export:
    """One run of several exporters over one source."""

    def __init__(self, request: ExportRequest, source: Source, context: Context) -> None:
        self.request, self.source, self.context = request, source, context

    def run(self) -> dict[str, Any]:
        """Feeds the exporters, and returns the verb's object."""
        exporters, out = self.request.exporters, self.request.out
        curation = self.source.curation(judges=any(one.needs_judges for one in exporters))
        with ExitStack() as stack:
            dropped = self._dropped(stack)
            targets = []
            for exporter in exporters:
                targets.append(_Target(exporter, out if len(exporters) == 1 else out / exporter.name, curation, dropped))
                stack.callback(targets[-1].discard)
            read = self._fed(targets)
            results = [target.finish(read, self.source) for target in targets]
        if len(results) == 1:
            return results[0]
        return {"out": str(out), "rows": sum(one["rows"] for one in results), "exports": results}

    def _fed(self, targets: Sequence[_Target]) -> int:
        """Exporters of rows share one reading; another gets a reading of its own. Returns the number of questions."""
        sinks = [(target, RowSink(one, target.job)) for target in targets if isinstance(one := target.exporter, RowExporter)]
        read = self._fed_together(sinks) if sinks else 0
        for target in targets:
            if not isinstance(target.exporter, RowExporter):
                counted = _Counted(self._questions(target.exporter.name))
                with self._blamed(target):
                    target.exporter.export(iter(counted), target.job)
                read = counted.read
        return read

    def _fed_together(self, sinks: Sequence[tuple[_Target, RowSink]]) -> int:
        read, at = 0, sinks[0][0]
        try:
            for question in self._questions(", ".join(target.exporter.name for target, _ in sinks)):
                read += 1
                for target, sink in sinks:
                    at = target
                    sink.add(question)
            for target, sink in sinks:
                at = target
                sink.close()
        except Exception:
            with self._blamed(at):
                raise
        return read

    def _blamed(self, target: _Target) -> Any:
        name = target.exporter.name
        return blame("exporter", name, self.context.registry.origin("exporter", name))

    def _questions(self, label: str) -> Iterator[Question]:
        with self.context.progress(label) as display:
            for number, question in enumerate(self.source.questions(), start=1):
                yield question
                if number % _TOLD_EVERY == 0:
                    display.update(Standing(number, self.source.rows or number, judged=number))

    def _dropped(self, stack: ExitStack) -> Path | None:
        """The dropped questions with their decisions, in a file that the targets copy."""
        if not self.source.policy:
            return None
        path = self.request.out / f".{DROPPED}.shared.part"
        stack.callback(path.unlink, missing_ok=True)
        with path.open("wb") as file:
            for question, decision in self.source.dropped():
                row: dict[str, Any] = {"id": question.id, "policy": decision.policy, "version": decision.version, "reason": decision.reason}
                row |= {"numbers": dict(decision.numbers), "vidground": record_of(question)}
                file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        return path


class _Counted:
    """An iterator that counts."""

    def __init__(self, questions: Iterator[Question]) -> None:
        self.read = 0
        self._questions = questions

    def __iter__(self) -> Iterator[Question]:
        for question in self._questions:
            self.read += 1
            yield question
