"""Judges of several finished runs side by side, as one audit: nothing is asked again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from vidground_core.errors import InputError, RunDirectoryError
from vidground_core.experiments.audit import audit
from vidground_core.experiments.auditing import write_tables
from vidground_core.experiments.context import Context
from vidground_core.filters.base import Judged, JudgedRows
from vidground_core.records import Verdict
from vidground_core.runs.directory import RunDirectory, read_record
from vidground_core.runs.judged import detector_folders, judged_rows
from vidground_core.runs.layout import Layout
from vidground_core.runs.set_aside import read_set_aside


@dataclass(frozen=True)
class Source:
    """A finished detection or audit of one data set; `label` tells its judges from those of the same name elsewhere."""

    folder: Path
    dataset: str
    label: str


def merge_audits(directories: Sequence[Path], out: Path, context: Context) -> dict[str, Any]:
    """Audits the verdicts that `vg detect` and `vg audit` left, and writes the tables; returns the object of `vg audit --json`.

    Runs on one data set become judges of one audit, others stand side by side. A judge's name that several runs have gets the run's model
    behind it, or its folder. Raises RunDirectoryError where a directory is no finished detection or audit, InputError where two on the same
    data set hold other questions.
    """
    by_dataset: dict[str, list[Source]] = {}
    for source in (one for directory in directories for one in _sources(directory)):
        by_dataset.setdefault(source.dataset, []).append(source)
    folders = [str(one.folder) for sources in by_dataset.values() for one in sources]
    with RunDirectory.open(out, "audit", passed={"judged": [str(one) for one in directories]}, resolved={"sources": folders}) as directory:
        audits = []
        for dataset, sources in by_dataset.items():
            context.note(f"{dataset}: {', '.join(str(source.folder) for source in sources)}")
            aside = len(read_set_aside(Layout(sources[0].folder).set_aside_file))
            audits.append({**audit(_side_by_side(sources), dataset).as_json(), "set_aside": aside, "out": str(out)})
        result: dict[str, Any] = audits[0] if len(audits) == 1 else {"audits": audits, "out": str(out)}
        if not directory.done or directory.result != result:
            write_tables(out, result)
            directory.finish(result)
        return result


def _sources(directory: Path) -> list[Source]:
    record = read_record(directory)
    if record["verb"] not in ("detect", "audit") or "sources" in record["resolved"]:
        raise RunDirectoryError(f"{str(directory)!r} holds no verdicts of its own; name what vg detect, or vg audit of a data set, wrote")
    if record["status"] != "done":
        raise RunDirectoryError(f"{str(directory)!r} is not finished ({record['status']}): run its command again first, it resumes")
    folders = [directory / name for name in record["resolved"].get("datasets", ())] or [directory]
    return [Source(folder, _dataset(folder), _label(record, directory)) for folder in folders]


def _dataset(folder: Path) -> str:
    return str(read_record(folder)["passed"]["dataset"]["name"])


def _label(record: Mapping[str, Any], directory: Path) -> str:
    model = str(record["passed"].get("model") or "")
    return Path(model).name or directory.resolve().name


def _side_by_side(sources: Sequence[Source]) -> JudgedRows:
    names = _names(sources)
    passes = [judged_rows(source.folder) for source in sources]

    def rows() -> Iterator[Judged]:
        for together in zip_longest(*(judged() for judged in passes)):
            _check_same(sources, together)
            verdicts: dict[str, Verdict] = {}
            for renamed, (_, said) in zip(names, together, strict=True):
                verdicts |= {renamed[name]: verdict for name, verdict in said.items()}
            yield together[0][0], verdicts

    return rows


def _check_same(sources: Sequence[Source], together: Sequence[Judged | None]) -> None:
    asked = [row[0] if row else None for row in together]
    for source, question in zip(sources[1:], asked[1:], strict=True):
        if question is None or asked[0] is None or (question.id, question.options) != (asked[0].id, asked[0].options):
            found, other = (repr(one.id) if one else "none" for one in (asked[0], question))
            raise InputError(
                f"{str(sources[0].folder)!r} and {str(source.folder)!r} hold other questions of {source.dataset!r}: "
                f"{found} stands beside {other}; judge the same rows with the same --limit"
            )


def _names(sources: Sequence[Source]) -> list[dict[str, str]]:
    """What each source's judges are called: by their own name where it is the only one, else with the label, else with the folder."""
    own = [list(detector_folders(Layout(source.folder))) for source in sources]
    names: list[dict[str, str]] = []
    for source, detectors in zip(sources, own, strict=True):
        twins = [other for other, theirs in zip(sources, own, strict=True) if other is not source and set(theirs) & set(detectors)]
        label = source.label if all(twin.label != source.label for twin in twins) else str(source.folder)
        taken = [name for other, theirs in zip(sources, own, strict=True) if other is not source for name in theirs]
        names.append({name: f"{name} ({label})" if name in taken else name for name in detectors})
    return names
