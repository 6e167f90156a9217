"""Real processes that start others, some in sessions of their own; none is left, however their starter ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from vidground_vllm import watchdog

# Starts a child in a session of its own, as servers' workers may be, writes both pids, and stays deaf to SIGTERM.
_SERVER = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2] == "deaf" else signal.SIG_DFL)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
open(sys.argv[1] + ".new", "w").write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(float(sys.argv[3]))
"""
# As `vg` does: holds the other end of the watchdog's standard input, and is then killed.
_STARTER = """
import subprocess, sys, time
subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)
time.sleep(1000)
"""


def pids_in(path: Path) -> list[int]:
    wait_until(path.exists)
    return [int(pid) for pid in path.read_text().split()]


def runs(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text().partition(")")[2][:4]
    except FileNotFoundError:
        return False


def wait_until(done: object) -> None:
    for _ in range(600):
        if done():  # type: ignore[operator]
            return
        time.sleep(0.05)
    raise AssertionError("waited for half a minute")


def command(path: Path, *, deaf: str = "hears", lasts: str = "1000") -> list[str]:
    return [sys.executable, "-I", watchdog.__file__, sys.executable, "-c", _SERVER, str(path), deaf, lasts]


def test_a_starter_killed_by_sigkill_leaves_nothing(tmp_path: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", _STARTER, *command(tmp_path / "pids")])
    pids = pids_in(tmp_path / "pids")
    assert all(map(runs, pids))
    starter.kill()
    starter.wait()
    wait_until(lambda: not any(map(runs, pids)))


def test_a_server_that_ends_takes_its_children_along(tmp_path: Path) -> None:
    running = subprocess.Popen(command(tmp_path / "pids", lasts="0.1"), stdin=subprocess.PIPE)
    assert running.wait(30) == 0
    assert not any(map(runs, pids_in(tmp_path / "pids")))
    assert running.stdin is not None
    running.stdin.close()


def test_ctrl_c_is_not_heard_and_sigterm_ends_it(tmp_path: Path) -> None:
    running = subprocess.Popen(command(tmp_path / "pids"), stdin=subprocess.PIPE)
    pids = pids_in(tmp_path / "pids")
    running.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert running.poll() is None
    assert all(map(runs, pids))
    running.terminate()
    running.wait(30)
    assert not any(map(runs, pids))
    assert running.stdin is not None
    running.stdin.close()


def test_a_server_deaf_to_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = tmp_path / "quick.py"
    quick.write_text(Path(watchdog.__file__).read_text().replace("GRACE = 10.0", "GRACE = 0.3"))
    monkeypatch.setattr(watchdog, "__file__", str(quick))
    running = subprocess.Popen(command(tmp_path / "pids", deaf="deaf"), stdin=subprocess.PIPE)
    pids = pids_in(tmp_path / "pids")
    assert running.stdin is not None
    running.stdin.close()
    running.wait(30)
    assert not any(map(runs, pids))


_GUARDED = """
import subprocess, sys, time
from vidground_vllm.guard import Guard
own = Guard()
with own.marking():
    marked = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
print(marked.pid, other.pid, own._process.pid, flush=True)
if sys.argv[1] == "dismiss":
    own.dismiss()
    print("dismissed", flush=True)
time.sleep(1000)
"""


def test_the_guard_ends_what_was_marked_and_nothing_else() -> None:
    starter = subprocess.Popen([sys.executable, "-c", _GUARDED, "stay"], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    marked, other, own = (int(pid) for pid in starter.stdout.readline().split())
    try:
        starter.kill()
        starter.wait()
        wait_until(lambda: not runs(marked) and not runs(own))
        assert runs(other)
    finally:
        os.kill(other, signal.SIGKILL)
        starter.stdout.close()


def test_a_guard_that_is_dismissed_harms_nobody() -> None:
    starter = subprocess.Popen([sys.executable, "-c", _GUARDED, "dismiss"], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    marked, other, own = (int(pid) for pid in starter.stdout.readline().split())
    try:
        assert starter.stdout.readline() == "dismissed\n"
        assert not runs(own)
        starter.kill()
        starter.wait()
        time.sleep(0.5)
        assert runs(marked)
    finally:
        for pid in (marked, other):
            os.kill(pid, signal.SIGKILL)
        starter.stdout.close()
