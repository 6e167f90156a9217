from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vidground_core.errors import EngineError, RunDirectoryError
from vidground_core.runs.directory import RunDirectory, read_record

PASSED = {"detector": ["blind-vlm"], "limit": 10}
RESOLVED = {"dataset": {"name": "nextqa", "path": "a.csv"}, "limit": 10, "seed": 0, "max_failures": 0}


def _open(path: Path, verb: str = "detect", **changed: Any) -> RunDirectory:
    return RunDirectory.open(path, verb, passed=PASSED, resolved=RESOLVED | changed)


def _finished(path: Path, **counts: int) -> None:
    with _open(path) as directory:
        (path / "questions").mkdir()
        directory.count(**counts)
        directory.finish({"out": str(path)})


def test_a_new_directory_is_described(tmp_path: Path) -> None:
    with _open(tmp_path / "a" / "out"):
        record = read_record(tmp_path / "a" / "out")
    assert record["format"] == 1
    assert record["verb"] == "detect"
    assert record["status"] == "running"
    assert record["passed"] == PASSED
    assert record["resolved"] == RESOLVED
    assert record["versions"]["vidground-core"]
    assert record["started"]
    assert (record["finished"], record["counts"], record["result"]) == (None, {}, None)


def test_a_finished_run_is_opened_unchanged(tmp_path: Path) -> None:
    _finished(tmp_path, questions=3)
    before = (tmp_path / "run.json").read_bytes()
    with _open(tmp_path) as directory:
        assert directory.done
        assert directory.result == {"out": str(tmp_path)}
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_run_that_left_failed_asks_is_not_done(tmp_path: Path) -> None:
    _finished(tmp_path, failed=2)
    with _open(tmp_path) as directory:
        assert not directory.done
        assert read_record(tmp_path)["status"] == "running"
        directory.count(failed=0)
        directory.finish({})
    with _open(tmp_path) as directory:
        assert directory.done


def test_ctrl_c_marks_the_run_interrupted_and_it_resumes(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), _open(tmp_path):
        raise KeyboardInterrupt
    assert read_record(tmp_path)["status"] == "interrupted"
    with _open(tmp_path) as directory:
        directory.finish({})
    assert read_record(tmp_path)["status"] == "done"


def test_an_error_marks_the_run_failed_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(EngineError), _open(tmp_path):
        raise EngineError("the engine died")
    assert read_record(tmp_path)["status"] == "failed"
    assert read_record(tmp_path)["reason"] == "the engine died"
    with pytest.raises(ZeroDivisionError), _open(tmp_path):
        raise ZeroDivisionError("oops")
    assert read_record(tmp_path)["reason"] == "ZeroDivisionError: oops"
    with _open(tmp_path):
        assert "reason" not in read_record(tmp_path)


def test_a_foreign_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(RunDirectoryError, match=r"is not empty and was not made by vg \(it has no run.json\); name a new or empty output"):
        _open(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(RunDirectoryError, match="is a file; the output must be a directory: name a new or empty one"):
        _open(tmp_path / "out")


def test_another_verbs_directory_is_refused(tmp_path: Path) -> None:
    _finished(tmp_path)
    with pytest.raises(RunDirectoryError, match="was made by 'vg detect'; 'vg filter' cannot go on in it: name another output directory"):
        _open(tmp_path, "filter")


def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"format": 2, "versions": {"vidground-core": "9.1"}}))
    with pytest.raises(RunDirectoryError, match=r"format 2, this vg reads format 1; it was made by vidground-core 9\.1: use that version"):
        _open(tmp_path)


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_a_broken_record_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunDirectoryError, match=r"run\.json: not readable as JSON; restore it, or start again in another output directory"):
        _open(tmp_path)


def test_reading_a_folder_without_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"is no run directory: it has no run\.json; name a folder that a vg command wrote"):
        read_record(tmp_path)


def test_changed_settings_are_shown_key_by_key(tmp_path: Path) -> None:
    _finished(tmp_path)
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(RunDirectoryError) as caught:
        _open(tmp_path, limit=20, dataset={"name": "nextqa", "path": "b.csv"}, model="nano")
    first, second = str(caught.value).splitlines()
    assert first.endswith('other settings (old → new): dataset.path: "a.csv" → "b.csv"; limit: 10 → 20; model: (not set) → "nano"')
    assert second == "run with the old settings to resume it, or name another output directory"
    assert (tmp_path / "run.json").read_bytes() == before


def test_an_option_newer_than_the_run_counts_as_unchanged_at_its_default(tmp_path: Path) -> None:
    _finished(tmp_path)
    newer = {"dataset": {**RESOLVED["dataset"], "columns": [], "more": {}, "share": 0.5}}
    defaults = {"dataset": {"columns": (), "more": {}, "share": 0.5}}
    with RunDirectory.open(tmp_path, "detect", passed=PASSED, resolved=RESOLVED | newer, defaults=defaults) as directory:
        assert directory.done
    with (
        pytest.raises(RunDirectoryError, match=r"dataset\.share: 0\.25 → 0\.5\n"),
        RunDirectory.open(
            tmp_path, "detect", passed=PASSED, resolved=RESOLVED | newer, defaults={"dataset": defaults["dataset"] | {"share": 0.25}}
        ),
    ):
        pass
    with pytest.raises(RunDirectoryError, match=r"dataset\.share: \(not set\) → 0\.5"), _open(tmp_path, **newer):
        pass


def test_many_differences_are_cut_short(tmp_path: Path) -> None:
    _finished(tmp_path)
    with pytest.raises(RunDirectoryError, match=r"k7: .* → 7; and 2 more"):
        _open(tmp_path, **{f"k{number}": number for number in range(10)})


def test_neutral_settings_and_spelling_may_change(tmp_path: Path) -> None:
    _finished(tmp_path)
    with RunDirectory.open(tmp_path, "detect", passed={"json": True}, resolved=RESOLVED | {"max_failures": 5, "quiet": True}) as directory:
        assert directory.done


def test_a_neutral_key_covers_what_is_below_it(tmp_path: Path) -> None:
    resolved = {"engine": {"concurrency": 4, "model": "a"}}
    RunDirectory.open(tmp_path, "detect", passed={}, resolved=resolved).close()
    (tmp_path / "questions").mkdir()
    changed = {"engine": {"concurrency": 8, "model": "a"}}
    with pytest.raises(RunDirectoryError, match=r"engine\.concurrency: 4 → 8"):
        RunDirectory.open(tmp_path, "detect", passed={}, resolved=changed)
    RunDirectory.open(tmp_path, "detect", passed={}, resolved=changed, neutral={"engine.concurrency"}).close()


def test_before_anything_is_made_settings_may_change(tmp_path: Path) -> None:
    with pytest.raises(EngineError), _open(tmp_path):
        raise EngineError("no such model")
    with _open(tmp_path, limit=20):
        assert read_record(tmp_path)["resolved"]["limit"] == 20


def test_a_directory_in_use_is_refused_by_process(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from vidground_core.runs.directory import RunDirectory\n"
    script += "RunDirectory.open(Path(sys.argv[1]), 'detect', passed={}, resolved={}); print('open', flush=True); sys.stdin.read()"
    other = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(RunDirectoryError, match=f"is in use by process {other.pid}; wait until it ends, or name another output"):
            RunDirectory.open(tmp_path, "detect", passed={}, resolved={})
        other.kill()
    RunDirectory.open(tmp_path, "detect", passed={}, resolved={}).close()


def test_secrets_are_never_written(tmp_path: Path) -> None:
    resolved = {"engine": {"api_key": "sk-123", "base_url": "https://me:pw@host/v1"}}
    with RunDirectory.open(tmp_path, "detect", passed={"set": ["engine.api_key=sk-123"]}, resolved=resolved):
        pass
    assert "sk-123" not in (tmp_path / "run.json").read_text()
    assert ":pw@" not in (tmp_path / "run.json").read_text()
    (tmp_path / "questions").mkdir()
    resolved["engine"]["api_key"] = "sk-456"
    RunDirectory.open(tmp_path, "detect", passed={}, resolved=resolved).close()


def test_versions_of_earlier_sessions_stay_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _open(tmp_path).close()
    old = read_record(tmp_path)["versions"]
    monkeypatch.setattr("vidground_core.runs.provenance.package_versions", lambda: old | {"torch": "99"})
    _open(tmp_path).close()
    _open(tmp_path).close()
    record = read_record(tmp_path)
    assert record["versions"]["torch"] == "99"
    assert [session["versions"] for session in record["earlier"]] == [old]


def test_a_file_system_without_locks_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    _open(tmp_path).close()
    assert "this file system cannot lock (No locks available); do not run two commands in one directory" in caplog.text


def test_the_lock_names_this_process(tmp_path: Path) -> None:
    with _open(tmp_path), pytest.raises(RunDirectoryError, match=f"in use by process {os.getpid()}"):
        _open(tmp_path)


def test_a_directory_with_only_a_merged_reply_store_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("replies.sqlite", "replies.sqlite-lock"):
        (tmp_path / "out" / name).touch()
    with RunDirectory.open(tmp_path / "out", "detect", passed={}, resolved={}) as directory:
        assert not directory.done
