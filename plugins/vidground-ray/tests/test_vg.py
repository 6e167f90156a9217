"""`vg detect --executor ray` as a user runs it: its own process, a cluster of its own, killed and interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import ENGINES, Log

pytest.importorskip("ray", reason="needs Ray: make test-backend-ray")

QUESTIONS, WORKERS, IN_FLIGHT = 150, 2, 8
ASKS = 2 * QUESTIONS  # one for each of two rotations
_PATIENCE = 200.0


@pytest.fixture
def command(tmp_path: Path, log: Log) -> Callable[..., list[str]]:
    def build(*more: str, poison: int | None = None, seconds: float = 0.0) -> list[str]:
        rows = [
            {
                "id": f"q{number}",
                "question": f"Which of {number}{' poison' if number == poison else ''}?",
                "options": ["red", "blue"],
                "answer": "red",
            }
            for number in range(QUESTIONS)
        ]
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        sets = {"engine.log": log.folder, "engine.seconds": seconds, "engine.window": 4, "executor.workers": WORKERS}
        sets |= {"executor.num_cpus": 0.5, "executor.in_flight": IN_FLIGHT}
        flags = ["--detector", "blind-llm", "--engine", "scripted", "--model", "none", "--executor", "ray", "--out", str(tmp_path / "out")]
        assignments = [word for key, value in sets.items() for word in ("--set", f"{key}={value}")]
        return [sys.executable, "-m", "vidground_core.cli.app", "detect", str(file), *flags, *assignments, *more]

    return build


def environment() -> dict[str, str]:
    # Which token a cluster wants is between Ray and its user.
    return {**os.environ, "PYTHONPATH": str(ENGINES), "RAY_AUTH_MODE": "disabled"}


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), timeout=_PATIENCE)


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """In a process group of its own, as a shell starts it, so that Ctrl-C reaches all of it."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment(), start_new_session=True, **pipes) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < until, "nothing happened in time"
        time.sleep(0.05)


def descendants(pid: int) -> set[int]:
    """The process and all below it."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def alive(pids: set[int]) -> set[int]:
    left = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                left.add(pid)
    return left


def helpers(pids: set[int]) -> set[int]:
    """Ray's two agents of a node: they do no work, and end a minute after a daemon that was killed."""
    named = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            named[pid] = Path(f"/proc/{pid}/cmdline").read_bytes()
    return {pid for pid, name in named.items() if name.startswith((b"ray::DashboardAgent", b"ray::RuntimeEnvAgent"))}


def stored(tmp_path: Path) -> int:
    with contextlib.closing(sqlite3.connect(tmp_path / "out" / "replies.sqlite")) as connection:
        (replies,) = connection.execute("SELECT count(*) FROM replies").fetchone()
    return int(replies)


def test_one_json_object_and_nothing_of_rays_although_a_row_kills_its_workers(command: Any, log: Log) -> None:
    done = run(command("--json", "--max-failures", "2", poison=40))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    (counts,) = result["detectors"]
    assert (counts["asked"], counts["failed"]) == (ASKS, 2)
    assert "ray" not in done.stderr.lower(), done.stderr
    asked = log.asked
    poison = [text for text in asked if "poison" in text]
    assert len(poison) == 2
    assert [asked[text] for text in poison] == [3, 3]  # the runner's own retries ask it no more
    assert max(asked.values()) == 3
    assert len(asked) == ASKS


def test_killed_and_resumed_it_asks_only_what_is_not_stored(command: Any, log: Log, tmp_path: Path) -> None:
    slow = command(seconds=0.02)
    with started(slow) as process:
        wait_until(lambda: sum(log.asked.values()) >= ASKS // 3)
        cluster = descendants(process.pid)
        left = helpers(cluster)
        process.kill()
        process.wait()
        wait_until(lambda: not alive(cluster - left))
    assert len(cluster) > 3
    kept, before = stored(tmp_path), sum(log.asked.values())
    assert 0 < kept < ASKS
    # Asked and not stored is what was under way: at the workers, or answered within the last tenth of a second.
    assert before - kept <= WORKERS * IN_FLIGHT + 0.1 / 0.02 * WORKERS + 2 * IN_FLIGHT
    done = run([*slow, "--json"])
    assert done.returncode == 0, done.stderr
    (counts,) = json.loads(done.stdout)["detectors"]
    assert counts["asked"] == ASKS - kept
    assert sum(log.asked.values()) - before == ASKS - kept
    assert len(log.asked) == ASKS
    assert max(log.asked.values()) <= 2
    assert stored(tmp_path) == ASKS
    wait_until(lambda: not alive(left))


def test_ctrl_c_ends_with_130_and_leaves_no_process(command: Any, log: Log, tmp_path: Path) -> None:
    slow = command(seconds=0.02)
    with started(slow) as process:
        wait_until(lambda: sum(log.asked.values()) >= ASKS // 4)
        cluster = descendants(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 130
    assert "Run the same command again to go on" in said
    assert "Traceback" not in said
    assert len(cluster) > 3
    wait_until(lambda: not alive(cluster))
    # What was under way came back before the end: nothing is asked twice.
    kept = stored(tmp_path)
    assert kept == len(log.asked) < ASKS
    done = run([*slow, "--json"])
    assert done.returncode == 0, done.stderr
    assert set(log.asked.values()) == {1}
    assert len(log.asked) == ASKS


def test_more_workers_than_this_machine_has_room_for(command: Any, log: Log) -> None:
    done = run(command("--set", "executor.workers=100000"))
    assert done.returncode == 2
    assert "error: executor 'ray': workers = '100000' with num_cpus = 0.5 need 50000 CPUs, this machine has " in done.stderr
    assert "fewer workers, or a smaller num_cpus: --set executor.num_cpus=" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cluster_that_is_not_there(command: Any, log: Log) -> None:
    done = run(command("--set", "executor.address=ray://127.0.0.1:1"))
    assert done.returncode == 2
    assert "error: executor 'ray': no cluster at address = 'ray://127.0.0.1:1': " in done.stderr
    assert "warning" not in done.stderr.lower()
    assert "an address is empty (a cluster of its own), 'auto'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def head(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A cluster that runs already, with a port for drivers of this machine and one for `ray://`.

    A head that ends while it starts, as Ray's do where the machine is busy (its raylet gives its agents 15 seconds), is started again.
    """
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], other.getsockname()[1]
    flags = ["--head", "--block", "--node-ip-address", "127.0.0.1", "--port", str(ports[0]), "--ray-client-server-port", str(ports[1])]
    flags += ["--num-cpus", "4", "--include-dashboard", "false", "--object-store-memory", str(128 * 2**20), "--disable-usage-stats"]
    words, said = [str(Path(sys.executable).parent / "ray"), "start", *flags], tmp_path / "head.txt"
    for tries_left in (2, 1, 0):
        with said.open("w") as file, subprocess.Popen(words, env=environment(), stdout=file, stderr=file) as process:
            try:
                wait_until(lambda process=process: process.poll() is not None or "Ray runtime started" in said.read_text())
                if process.poll() is None:
                    wait_until(lambda: all(listening(port) for port in ports))
                    yield ports
                    return
                assert tries_left, said.read_text()
            finally:
                below = descendants(process.pid)
                process.terminate()
                process.wait(timeout=_PATIENCE)
                for pid in alive(below):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_cluster_that_runs_already(command: Any, log: Log, head: tuple[int, int]) -> None:
    address = f"ray://127.0.0.1:{head[1]}"
    done = run(command("--json", "--max-failures", "2", "--set", f"executor.address={address}", poison=40))
    assert done.returncode == 0, done.stderr
    (counts,) = json.loads(done.stdout)["detectors"]
    assert (counts["asked"], counts["failed"]) == (ASKS, 2)
    # The executor may say that it tries again; Ray itself says nothing.
    assert "ray" not in done.stderr.lower().replace(address, ""), done.stderr
    assert len(log.asked) == ASKS
    assert max(log.asked.values()) == 3
    assert listening(head[0])
