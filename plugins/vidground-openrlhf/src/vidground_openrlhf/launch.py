"""Runs a process of the back-end in a group of its own, and follows its log."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from vidground_core import VidGroundError
from vidground_openrlhf.failures import reason
from vidground_openrlhf.prepare import MARK

# Seconds an interrupted process has to end by itself: Ray takes its actors down within it.
GRACE = 60.0
# Seconds between two looks at the log, and two calls of `now_and_then`.
POLL = 0.2
BETWEEN = 30.0
# OpenRLHF's line for a finished step.
STEP = "Global step "

logger = logging.getLogger(__name__)


class TrainingError(VidGroundError):
    """A process of the back-end failed."""


def follow(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    log: Path,
    stop: threading.Event,
    now_and_then: Callable[[], None] = lambda: None,
    verdict: Callable[[int], int] = lambda code: code,
) -> None:
    """Runs `argv` to its end, its output appended to `log`, and passes on its lines for the user and each finished step.

    Ctrl-C, or `stop` once it is set, becomes a SIGINT for the process and all it started, and KeyboardInterrupt. Raises TrainingError with
    the back-end's own reason where it fails: where `verdict` of its exit status is not 0.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out, log.open("rb") as seen:
        begin = seen.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, env={**os.environ, **env}
        )
        try:
            _pass_on(process, seen, stop, now_and_then)
        except BaseException:
            end(process)
            raise
    status = verdict(process.returncode)
    if status:
        with log.open("rb") as file:
            file.seek(begin)
            lines = file.read().decode(errors="replace").splitlines()
        raise TrainingError(f"{reason(lines, status)} (log: {log})")


def _pass_on(process: subprocess.Popen[bytes], seen: IO[bytes], stop: threading.Event, now_and_then: Callable[[], None]) -> None:
    held, called = b"", time.monotonic()
    while True:
        ended = process.poll() is not None
        *lines, held = (held + seen.read()).split(b"\n")
        for line in lines:
            _say(line.decode(errors="replace"))
        if ended:
            return
        if time.monotonic() - called >= BETWEEN:
            now_and_then()
            called = time.monotonic()
        if stop.wait(POLL):
            raise KeyboardInterrupt


def _say(line: str) -> None:
    if line.startswith(MARK):
        logger.info("%s", line.removeprefix(MARK))
    elif STEP in line:
        logger.info("step %s", line.partition(STEP)[2][:200])


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all of its group: asked first, then told, then killed."""
    for number, patience in ((signal.SIGINT, GRACE), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(patience)
        if process.poll() is not None:
            return
