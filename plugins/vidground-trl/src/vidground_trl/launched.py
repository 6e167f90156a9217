"""What this process knows of the others before they talk: its rank, their number, and the processors it may use until they start."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from vidground_trl.job import THREADS

T = TypeVar("T")
# Threads that decode side by side, at most: more wait for the disk, and each holds a video.
MOST_THREADS = 16


def rank() -> int:
    """The number of this process, 0 for the one that writes; as the launcher says."""
    return int(os.environ.get("RANK", "0"))


def started() -> int:
    """Processes that were started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def threads() -> int:
    """Threads for work that one process does while the others wait: as many as the run may use, else all processors there are.

    `torchrun` sets OMP_NUM_THREADS to 1 in each of several processes, so there it says nothing of what the user wants.
    """
    given = os.environ.get(THREADS, "") or (os.environ.get("OMP_NUM_THREADS", "") if started() == 1 else "")
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(int(given) if given.isdigit() and int(given) else here, MOST_THREADS)


def waited_for(found: Callable[[], T | None], *, every: float = 0.5) -> T:
    """What `found` gives once it gives something. Without a limit: where the process that makes it fails, the launcher ends this one."""
    while (value := found()) is None:
        time.sleep(every)
    return value
