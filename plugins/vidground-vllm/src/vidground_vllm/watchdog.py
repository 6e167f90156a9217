"""Runs a command and ends it, with all that it started, as soon as standard input closes. Standard library only.

    python -I watchdog.py COMMAND ...

`vg` holds the other end of standard input: however it ends, SIGKILL included, the server goes too and its memory is free. Where this
process itself is killed, the kernel ends the command.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

# Seconds that a server has to end by itself.
GRACE = 10.0
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main(command: list[str]) -> int:
    """Runs the command to its end or that of standard input; its exit status."""
    libc = ctypes.CDLL(None, use_errno=True)
    # What the command leaves behind becomes our child, and can be found.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_end(server)))
    server = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    )
    while server.poll() is None:
        readable, _, _ = select.select([0], [], [], 0.2)
        if readable and not os.read(0, 1024):
            return _end(server)
    _kill_the_rest()
    return server.returncode


def _end(server: subprocess.Popen[bytes]) -> int:
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        server.wait(GRACE)
    _kill_the_rest()
    return 0


def _kill_the_rest() -> None:
    for _ in range(20):
        left = [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
