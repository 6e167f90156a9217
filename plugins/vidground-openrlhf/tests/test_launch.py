"""Real processes: their log, their steps, their end."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path

import pytest
from vidground_openrlhf.launch import TrainingError, follow

# Its handler is set because a shell without job control starts what it puts in the background with SIGINT ignored.
SLEEPER = (
    "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); print('vidground: up', flush=True); time.sleep(60)"
)


def run(code: str, log: Path, stop: threading.Event | None = None) -> None:
    follow([sys.executable, "-c", code], env={"MARK": "a"}, log=log, stop=stop or threading.Event())


def test_lines_for_the_user_are_passed_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run("import os; print('vidground: hello'); print('noise'); print('Global step 3: reward', os.environ['MARK'])", tmp_path / "log")
    assert caplog.messages == ["hello", "step 3: reward a"]
    assert "noise" in (tmp_path / "log").read_text()


def test_a_failure_says_why_and_where(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("RuntimeError: of an earlier start\n")
    with pytest.raises(TrainingError, match=r"^ValueError: too long \(log: .*log\)$"):
        run("raise ValueError('too long')", tmp_path / "log")


def test_a_stop_ends_the_process_and_its_children(tmp_path: Path) -> None:
    stop = threading.Event()
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEPER!r}])"
    timer = threading.Timer(1.5, stop.set)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run(child, tmp_path / "log", stop)
    timer.join()
    assert "KeyboardInterrupt" in (tmp_path / "log").read_text(), "the child was interrupted, not left behind"
