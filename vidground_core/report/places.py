"""Where the parts of a run lie, whichever verb wrote the directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vidground_core.errors import InputError, RunDirectoryError
from vidground_core.runs.directory import RECORD, read_record

VERBS = ("run", "detect", "audit", "filter", "train", "eval", "ablate")
FILTERED = "filtered"
_FIRST = ("start", "full", "filtered")


@dataclass(frozen=True)
class Places:
    """The folders of a run; None or empty where there is no such part.

    `questions` is the folder above `questions/` or `kept/` and `dropped/`, `decisions` the one above `decisions/`, `verdicts` the one above
    `verdicts/`, `set_aside` the one with set_aside.jsonl; `train` and `evals` map the name of an arm or checkpoint to its folder, `audits`
    that of a benchmark where several were audited side by side. An ablation's runs are in none of them: there are too many.
    """

    root: Path
    verb: str
    questions: Path | None = None
    verdicts: Path | None = None
    decisions: Path | None = None
    set_aside: Path | None = None
    train: Mapping[str, Path] = field(default_factory=dict)
    evals: Mapping[str, Path] = field(default_factory=dict)
    audits: Mapping[str, Path] = field(default_factory=dict)

    @property
    def step_folders(self) -> tuple[Path, ...]:
        """All folders that may hold a run.json: the whole run's first, without repeats."""
        parts = [self.root, self.questions, self.decisions, *self.train.values(), *self.evals.values(), *self.audits.values()]
        return tuple(dict.fromkeys(part for part in parts if part is not None and (part / RECORD).is_file()))


def locate(root: Path) -> Places:
    """The parts of the run in `root`. Raises InputError where there is no folder, RunDirectoryError where it is not a run's."""
    if not root.is_dir():
        raise InputError(f"{str(root)!r}: no such directory; give the --out directory of vg {', '.join(VERBS)}")
    record = read_record(root)
    verb = str(record.get("verb"))
    if verb == "run":
        detect, filtered = _folder(root / "detect"), _folder(root / "filter")
        train, evals = _children(root / "train"), _children(root / "eval")
        judged = detect or filtered
        return Places(root, verb, questions=judged, verdicts=judged, decisions=filtered, set_aside=judged, train=train, evals=evals)
    if verb == "ablate":
        detect, filtered = _folder(root / "detect"), _folder(root / "data" / FILTERED / "decisions")
        return Places(root, verb, questions=detect, verdicts=detect, decisions=filtered and filtered.parent, set_aside=detect)
    if verb == "audit" and "datasets" in (record.get("resolved") or {}):
        return Places(root, verb, audits=_children(root))
    if verb == "audit" and "sources" in (record.get("resolved") or {}):
        return Places(root, verb)
    if verb in ("detect", "audit"):
        return Places(root, verb, questions=root, verdicts=root, set_aside=root)
    if verb == "filter":
        return Places(root, verb, questions=root, verdicts=root, decisions=root, set_aside=root)
    if verb == "train":
        return Places(root, verb, set_aside=root, train={root.resolve().name: root})
    if verb == "eval":
        return Places(root, verb, set_aside=root, evals={root.resolve().name: root})
    raise RunDirectoryError(f"{root / RECORD}: a report of verb {verb!r} is not known; there is: {', '.join(VERBS)}")


def _folder(path: Path) -> Path | None:
    return path if path.is_dir() else None


def _children(folder: Path) -> dict[str, Path]:
    found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return {path.name: path for path in sorted(found, key=lambda path: (rank(path.name), path.name))}


def rank(name: str) -> int:
    """Start, full, filtered first, in that order; then all others."""
    return _FIRST.index(name) if name in _FIRST else len(_FIRST)
