"""Runs the worker in a process group of its own and follows its log."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from vidground_core import VidGroundError
from vidground_trl.job import PARENT_PIPE

# Lines of the worker's log that are meant for the user, and the one that says why it ended.
MARK = "vidground: "
STEP_MARK = MARK + "step "
ERROR_MARK = "vidground error: "
# Seconds an interrupted worker has to finish its step and save, before it is ended.
GRACE = 120.0
INTERRUPTED = 130
_EXCEPTION = re.compile(r"^[\w.]*(Error|Exception|Interrupt|Exit)\b.*")

# Seconds between two step lines that are passed on; the log has them all.
BETWEEN = 10.0

logger = logging.getLogger(__name__)


class WorkerError(VidGroundError):
    """The training process failed."""


def follow(argv: Sequence[str], *, env: Mapping[str, str], log: Path, label: str = "", stop: threading.Event | None = None) -> None:
    """Runs `argv` to its end, its output appended to `log` and its lines for the user passed to this module's logger after `label`.

    Ctrl-C, or `stop` once it is set (only the main thread is told of Ctrl-C), becomes a SIGINT for the worker, which then saves and
    stops, and KeyboardInterrupt is raised, as for a worker that was
    interrupted otherwise. Raises WorkerError with the worker's own reason where it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out, log.open("rb") as seen:
        begin = seen.seek(0, os.SEEK_END)
        # Standard input is never written to: it closes when this process ends, however it ends, and the worker ends with it.
        worker = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **env, PARENT_PIPE: "1"},
        )
        try:
            _pass_on(worker, seen, f"{label}: " if label else "", stop or threading.Event())
        except BaseException:
            _end(worker)
            raise
        finally:
            if worker.stdin is not None:
                worker.stdin.close()
    if worker.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if worker.returncode:
        raise WorkerError(f"{reason(_tail(log, begin), worker.returncode)} (log: {log})")


def _pass_on(worker: subprocess.Popen[bytes], seen: IO[bytes], label: str, stop: threading.Event) -> None:
    held, said = b"", float("-inf")
    while True:
        ended = worker.poll() is not None
        *lines, held = (held + seen.read()).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            if not text.startswith(MARK):
                continue
            if not text.startswith(STEP_MARK):
                logger.info("%s%s", label, text.removeprefix(MARK))
            elif time.monotonic() - said >= BETWEEN:
                said = time.monotonic()
                logger.info("%s%s", label, text.removeprefix(MARK))
        if ended:
            return
        if stop.wait(0.1):
            raise KeyboardInterrupt


def _end(worker: subprocess.Popen[bytes]) -> None:
    for number, patience in ((signal.SIGINT, GRACE), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(worker.pid, number)
            worker.wait(patience)
        if worker.poll() is not None:
            return


def _tail(log: Path, begin: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(begin)
        return file.read().decode(errors="replace").splitlines()


def reason(lines: Sequence[str], status: int) -> str:
    """Why a worker with that exit status ended, in one line: its own error, else the last exception, else the last line."""
    if status < 0:
        name = signal.Signals(-status).name
        hint = "; is there enough memory?" if name == "SIGKILL" else ""
        return f"the training process was ended by {name}{hint}"
    for line in reversed(lines):
        if line.startswith(ERROR_MARK):
            return line.removeprefix(ERROR_MARK)
    last = [line for line in lines if line.strip() and not line.startswith(MARK)]
    exceptions = [line for line in last if _EXCEPTION.match(line)]
    return f"training failed with status {status}: {(exceptions or last or ['no output'])[-1].strip()}"
