"""vg audit: one benchmark, or several side by side, through judges into tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidground_core.errors import ConfigError
from vidground_core.experiments.assembly import Assembly, Dataset, described
from vidground_core.experiments.audit import audit
from vidground_core.experiments.audit_tables import agreement_csv, judges_csv, latex, short_names
from vidground_core.experiments.context import Context
from vidground_core.experiments.detection import Detection, check_detection, detect
from vidground_core.runs.directory import RunDirectory
from vidground_core.runs.durable import write_json
from vidground_core.runs.judged import judged_rows
from vidground_core.runs.layout import Layout, folder_name
from vidground_core.runs.set_aside import read_set_aside

Ready = tuple[Assembly, Mapping[str, Any]]


def audit_sets(ready: Sequence[Ready], out: Path, context: Context) -> dict[str, Any]:
    """Audits each data set, in its settings as passed, and writes the tables; returns the object of `vg audit --json`.

    One data set is audited in `out` itself, several each in a folder of its own below; of several, the object has each one's under
    `audits`. Raises ConfigError where a data set is named twice, and what `detect` raises, before anything is written.
    """
    if len(ready) == 1:
        assembly, passed = ready[0]
        return _audit_set(assembly, out, context, passed)
    datasets = [assembly.dataset() for assembly, _ in ready]
    folders = _folders([dataset.spec for dataset in datasets])
    for assembly, _ in ready:
        check_detection(assembly)
    resolved = {"datasets": {folder: described(dataset.loader) for folder, dataset in zip(folders, datasets, strict=True)}}
    with RunDirectory.open(out, "audit", passed=_passed(ready), resolved=resolved) as directory:
        audits: list[dict[str, Any]] = []
        for folder, dataset, (assembly, passed) in zip(folders, datasets, ready, strict=True):
            context.note(f"{dataset.spec} ({len(audits) + 1} of {len(ready)})")
            audits.append(_audit_set(assembly, out / folder, context, passed))
        result = {"audits": audits, "out": str(out)}
        if not directory.done or directory.result != result:
            write_tables(out, result)
            directory.count(questions=sum(one["questions"] for one in audits))
            directory.finish(result)
        return result


def _folders(specs: Sequence[str]) -> tuple[str, ...]:
    for spec in specs:
        if specs.count(spec) > 1:
            raise ConfigError(f"the data set {spec!r} is named twice; name each once")
    return tuple(folder_name(name) for name in short_names(specs))


def _passed(ready: Sequence[Ready]) -> dict[str, Any]:
    shared = {key: value for key, value in ready[0][1].items() if key != "dataset"}
    return {"datasets": [passed["dataset"] for _, passed in ready], **shared}


def _audit_set(assembly: Assembly, out: Path, context: Context, passed: Mapping[str, Any]) -> dict[str, Any]:
    def finish(layout: Layout, dataset: Dataset) -> dict[str, Any]:
        found = audit(judged_rows(layout), dataset.spec).as_json()
        result = {**found, "set_aside": len(read_set_aside(layout.set_aside_file)), "out": str(layout.root)}
        write_tables(layout.root, result)
        return result

    return detect(assembly, out, context, passed=passed, detection=Detection("audit", finish))


def write_tables(out: Path, result: Mapping[str, Any]) -> None:
    """Writes audit.json, audit.csv, audit.tex, and agreement.csv where there are two judges or more."""
    audits = audits_of(result)
    write_json(out / "audit.json", result)
    (out / "audit.csv").write_text(judges_csv(audits), encoding="utf-8")
    (out / "audit.tex").write_text(latex(audits), encoding="utf-8")
    if any(one["agreement"] for one in audits):
        (out / "agreement.csv").write_text(agreement_csv(audits), encoding="utf-8")


def audits_of(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The audits in an object of `vg audit --json`: itself, or those under `audits`."""
    return list(result["audits"]) if "audits" in result else [result]
