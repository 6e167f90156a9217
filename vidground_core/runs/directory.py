"""The run directory: what every verb writes into, resumes in, and refuses when it is not its own."""

from __future__ import annotations

import datetime
import fcntl
import json
import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Self

from vidground_core.errors import RunDirectoryError, StoppedError, VidGroundError
from vidground_core.runs import provenance
from vidground_core.runs.durable import read_json, write_json
from vidground_core.runs.layout import Layout
from vidground_core.runs.masking import mask

FORMAT = 1
RECORD = "run.json"
LOCK = ".lock"
NEUTRAL = frozenset({"json", "quiet", "debug", "max_failures", "store", "resume", "open", "max_cost", "max_tokens"})
"""Settings that never make a directory "changed": they alter what is printed or tolerated, not what is computed."""

_SHOWN_DIFFERENCES = 8
_logger = logging.getLogger(__name__)


def read_record(path: Path) -> dict[str, Any]:
    """The run.json of a run directory. Raises RunDirectoryError where there is none, or it is broken or of another format version."""
    file = path / RECORD
    if not file.exists():
        raise RunDirectoryError(f"{str(path)!r} is no run directory: it has no {RECORD}; name a folder that a vg command wrote")
    record = read_json(file)
    if record is None:
        raise RunDirectoryError(f"{file}: not readable as JSON; restore it, or start again in another output directory")
    if record.get("format") != FORMAT:
        made_by = record.get("versions", {}).get("vidground-core", "an unknown version")
        raise RunDirectoryError(
            f"{file}: format {record.get('format')!r}, this vg reads format {FORMAT}; it was made by vidground-core {made_by}: "
            "use that version, or another output directory"
        )
    return record


class RunDirectory:
    """One verb's output directory: locked while it is open, described by run.json; use as a context manager.

    `record` is what run.json holds: format, verb, status (running, done, interrupted, failed), passed and resolved config with secrets
    masked, package versions, git revision, times, counts, the verb's result, and under `earlier` the versions of sessions before this
    one where they differ. Leaving the `with` block by Ctrl-C or a limit that is reached
    marks the run interrupted, by an error failed.
    """

    def __init__(self, path: Path, record: dict[str, Any], lock: int) -> None:
        self.path, self.record, self._lock = path, record, lock

    @classmethod
    def open(
        cls,
        path: Path,
        verb: str,
        *,
        passed: Mapping[str, Any],
        resolved: Mapping[str, Any],
        neutral: Collection[str] = NEUTRAL,
        defaults: Mapping[str, Any] | None = None,
    ) -> Self:
        """Makes a new directory or resumes the same run; a finished one is opened unchanged (`done`).

        `passed` is what the user gave, `resolved` all settings with their defaults; both nested plain values. Dotted keys in `neutral`
        may change between sessions; where one changed that is not in NEUTRAL, a finished run is opened to go on. A setting that the
        record does not have yet, an option newer than the run, counts as unchanged at its value in `defaults`. A directory in which
        nothing was made yet takes new settings. Raises RunDirectoryError for a directory that is foreign, another verb's, of another
        format, made with other settings, or in use.
        """
        _check_kind(path)
        path.mkdir(parents=True, exist_ok=True)
        lock = _take_lock(path)
        try:
            fresh = _fresh_record(verb, passed, resolved)
            record = _resumed(path, fresh, neutral, _plain(defaults or {})) if (path / RECORD).exists() else fresh
            directory = cls(path, record, lock)
            if not directory.done:
                directory._set(status="running", result=None, finished=None)
        except BaseException:
            os.close(lock)
            raise
        return directory

    @property
    def done(self) -> bool:
        """Whether all is done: finished, and no ask is left that failed and would be tried again."""
        return self.record["status"] == "done" and not self.record["counts"].get("failed")

    @property
    def result(self) -> dict[str, Any] | None:
        """What the verb's `--json` printed when the run was finished."""
        result: dict[str, Any] | None = self.record["result"]
        return result

    def count(self, **counts: int) -> None:
        """Sets counts in run.json, by name; `failed` counts asks that stayed failed."""
        self._set(counts=self.record["counts"] | counts)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Marks the run done, with the verb's `--json` object."""
        self._set(status="done", result=dict(result), finished=_now())

    def reopen(self) -> None:
        """Marks a finished run as running again: what it made is not there any more."""
        self._set(status="running", result=None, finished=None)

    def fail(self, reason: str) -> None:
        """Marks the run failed; the same command resumes it all the same."""
        self._set(status="failed", reason=reason, finished=_now())

    def interrupt(self, reason: str = "") -> None:
        """Marks the run interrupted, by Ctrl-C or for the reason given; the same command resumes it."""
        self._set(status="interrupted", finished=_now(), **({"reason": reason} if reason else {}))

    def close(self) -> None:
        """Gives the directory free for other processes."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            if self.record["status"] == "running":
                if isinstance(error, StoppedError):
                    self.interrupt(str(error))
                elif isinstance(error, Exception):
                    self.fail(str(error) if isinstance(error, VidGroundError) else f"{type(error).__name__}: {error}")
                else:
                    self.interrupt()
        finally:
            self.close()

    def _set(self, **fields: Any) -> None:
        if "status" in fields:
            self.record.pop("reason", None)
        self.record |= fields
        write_json(self.path / RECORD, self.record)


def _fresh_record(verb: str, passed: Mapping[str, Any], resolved: Mapping[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {"format": FORMAT, "verb": verb, "status": "running"}
    record |= {"argv": provenance.command(), "passed": _plain(passed), "resolved": _plain(resolved)}
    record |= {"versions": provenance.package_versions(), "git": provenance.git_revision()}
    return record | {"started": _now(), "finished": None, "counts": {}, "result": None}


def _plain(config: Mapping[str, Any]) -> Any:
    """The config as JSON gives it back, secrets masked, so that what was written and what is given now compare."""
    return json.loads(json.dumps(mask(config), default=str))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _check_kind(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise RunDirectoryError(f"{str(path)!r} is a file; the output must be a directory: name a new or empty one")
    if path.is_dir() and not (path / RECORD).exists() and _made(path):
        raise RunDirectoryError(
            f"{str(path)!r} is not empty and was not made by vg (it has no {RECORD}); name a new or empty output directory"
        )


def _made(path: Path) -> list[str]:
    """What lies in the directory besides its own record and lock, and a reply store that was merged for it."""
    own, store = {RECORD, RECORD + ".tmp", LOCK}, Layout(path).store
    return [entry.name for entry in path.iterdir() if entry.name not in own and not entry.name.startswith(store)]


def _take_lock(path: Path) -> int:
    lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise RunDirectoryError(
            f"{str(path)!r} is in use by process {holder}; wait until it ends, or name another output directory"
        ) from error
    except OSError as error:
        _logger.warning("%s: this file system cannot lock (%s); do not run two commands in one directory", path, error.strerror)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _resumed(path: Path, fresh: dict[str, Any], neutral: Collection[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    record = read_record(path)
    if record["verb"] != fresh["verb"]:
        raise RunDirectoryError(
            f"{str(path)!r} was made by 'vg {record['verb']}'; 'vg {fresh['verb']}' cannot go on in it: name another output directory"
        )
    before = _with_newer(record["resolved"], fresh["resolved"], defaults)
    differences = _differences(before, fresh["resolved"], neutral)
    if differences and _made(path):
        shown = "; ".join(differences[:_SHOWN_DIFFERENCES])
        more = f"; and {len(differences) - _SHOWN_DIFFERENCES} more" if len(differences) > _SHOWN_DIFFERENCES else ""
        raise RunDirectoryError(
            f"{str(path)!r} was made with other settings (old → new): {shown}{more}\n"
            "run with the old settings to resume it, or name another output directory"
        )
    same = not _differences(before, fresh["resolved"], NEUTRAL)
    if record["status"] == "done" and not record["counts"].get("failed") and same:
        return record
    if record["status"] == "done" and not same:
        record["status"] = "interrupted"
    if any(record[key] != fresh[key] for key in ("versions", "git")):
        session = {key: record[key] for key in ("versions", "git", "finished")}
        record["earlier"] = [*record.get("earlier", []), session]
    return record | {key: fresh[key] for key in ("argv", "passed", "resolved", "versions", "git")}


def _with_newer(old: Mapping[str, Any], new: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The old settings, with those that only the new have at their defaults."""
    before, after, usual = _flat(old), _flat(new), _flat(defaults)
    return before | {key: usual[key] for key in after.keys() & usual.keys() - before.keys()}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], neutral: Collection[str]) -> list[str]:
    before, after = _flat(old), _flat(new)
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key, _ABSENT) != after.get(key, _ABSENT)]
    relevant = [key for key in changed if not any(key == name or key.startswith(f"{name}.") for name in neutral)]
    return [f"{key}: {_shown(before.get(key, _ABSENT))} → {_shown(after.get(key, _ABSENT))}" for key in relevant]


_ABSENT = object()


def _shown(value: Any) -> str:
    return "(not set)" if value is _ABSENT else json.dumps(value, ensure_ascii=False)


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        below = _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {}
        flat |= below or {f"{prefix}{key}": value}
    return flat
