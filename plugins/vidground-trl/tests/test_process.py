from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from vidground_trl.process import WorkerError, follow, reason


def script(tmp_path: Path, body: str) -> list[str]:
    path = tmp_path / "script.py"
    path.write_text(body)
    return [sys.executable, str(path)]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited for a minute"
        time.sleep(0.02)


def test_lines_for_the_user_are_passed_on_and_all_output_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vidground_trl.process")
    log = tmp_path / "train.log"
    log.write_text("vidground: of an earlier run\n")
    body = "import os; print('noise'); print('vidground: plan', os.environ['N']); [print('vidground: step', n) for n in range(3)]"
    follow(script(tmp_path, body), env={"N": "7"}, log=log, label="full")
    assert [record.getMessage() for record in caplog.records] == ["full: plan 7", "full: step 0"]
    steps = "vidground: step 0\nvidground: step 1\nvidground: step 2\n"
    assert log.read_text() == f"vidground: of an earlier run\nnoise\nvidground: plan 7\n{steps}"


def test_a_failure_is_raised_with_the_exception_and_the_log(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    with pytest.raises(WorkerError, match=r"^training failed with status 1: ValueError: no such thing \(log: .*train\.log\)$"):
        follow(script(tmp_path, "raise ValueError('no such thing')"), env={}, log=log)


def test_a_killed_worker_is_told_from_a_failing_one(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"^the training process was ended by SIGKILL; is there enough memory\?"):
        follow(script(tmp_path, "import os; os.kill(os.getpid(), 9)"), env={}, log=tmp_path / "train.log")


def test_an_interrupted_worker_interrupts(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        follow(script(tmp_path, "raise SystemExit(130)"), env={}, log=tmp_path / "train.log")


@pytest.mark.parametrize(
    ("lines", "status", "expected"),
    [
        (["vidground error: no GPU here", "later noise"], 2, "no GPU here"),
        (["a.b.OutOfMemoryError: CUDA", "  warnings.warn("], 1, "training failed with status 1: a.b.OutOfMemoryError: CUDA"),
        (["vidground: step 1", "something", ""], 3, "training failed with status 3: something"),
        ([], 1, "training failed with status 1: no output"),
        (["x"], -15, "the training process was ended by SIGTERM"),
    ],
)
def test_reasons(lines: list[str], status: int, expected: str) -> None:
    assert reason(lines, status) == expected


PARENT = """
import sys
import threading
from pathlib import Path
from vidground_trl.process import follow
try:
    follow([sys.executable, sys.argv[1]], env={}, log=Path(sys.argv[2]))
except KeyboardInterrupt:
    sys.exit(42)
"""
THREADED_PARENT = """
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from vidground_trl.process import follow
stop = threading.Event()
with ThreadPoolExecutor() as pool:
    followed = pool.submit(follow, [sys.executable, sys.argv[1]], env={}, log=Path(sys.argv[2]), stop=stop)
    try:
        followed.result()
    except KeyboardInterrupt:
        stop.set()
        sys.exit(42)
"""
WORKER = """
import os, signal, sys, time
from pathlib import Path
def stop(*_):
    print("saved", flush=True)
    sys.exit(130)
signal.signal(signal.SIGINT, stop)
from vidground_trl import process
print("pid", os.getpid(), flush=True)
time.sleep(600)
"""
WATCHING = """
import os, time
import vidground_trl.parent
vidground_trl.parent.end_with_parent()
print("pid", os.getpid(), flush=True)
time.sleep(600)
"""


def start(tmp_path: Path, worker: str) -> tuple[subprocess.Popen[bytes], Path, int]:
    (tmp_path / "parent.py").write_text(PARENT)
    (tmp_path / "worker.py").write_text(worker)
    log = tmp_path / "train.log"
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py"), str(tmp_path / "worker.py"), str(log)])
    wait_for(lambda: log.is_file() and "pid" in log.read_text() and log.read_text().endswith("\n"))
    return parent, log, int(log.read_text().split()[1])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_ctrl_c_reaches_the_worker_which_ends_in_its_own_way(tmp_path: Path) -> None:
    parent, log, pid = start(tmp_path, WORKER)
    parent.send_signal(signal.SIGINT)
    assert parent.wait(60) == 42
    assert log.read_text().endswith("saved\n")
    assert not alive(pid)


def test_ctrl_c_reaches_workers_followed_by_threads(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(THREADED_PARENT)
    (tmp_path / "worker.py").write_text(WORKER)
    log = tmp_path / "train.log"
    argv = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path / "worker.py"), str(log)]
    parent = subprocess.Popen(argv, start_new_session=True)
    wait_for(lambda: log.is_file() and "pid" in log.read_text() and log.read_text().endswith("\n"))
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.wait(60) == 42
    assert log.read_text().endswith("saved\n")


def test_a_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent, _, pid = start(tmp_path, WATCHING)
    parent.kill()
    parent.wait(60)
    wait_for(lambda: not alive(pid))


def test_a_stop_from_another_thread_is_as_ctrl_c(tmp_path: Path) -> None:
    stop, ended = threading.Event(), []

    def run() -> None:
        try:
            follow(
                script(tmp_path, "import time; print('vidground: up', flush=True); time.sleep(60)"), env={}, log=tmp_path / "log", stop=stop
            )
        except KeyboardInterrupt:
            ended.append("interrupted")

    thread = threading.Thread(target=run)
    thread.start()
    while "up" not in ((tmp_path / "log").read_text() if (tmp_path / "log").exists() else ""):
        time.sleep(0.05)
    stop.set()
    thread.join(30)
    assert ended == ["interrupted"]
