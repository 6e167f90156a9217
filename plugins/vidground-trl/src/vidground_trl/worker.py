"""The process that trains: `python -m vidground_trl.worker --config OUT/worker.json`. OUT is the folder the config stands in.

It leaves `checkpoint/` and, last of all, `result.json`; before that `order.json`, `set_aside.jsonl`, `checkpoints/`, `metrics.jsonl` and
`samples.jsonl`. Exit status: 0 done, 2 a VidGroundError (its text is in the log), 130 interrupted with a checkpoint to resume from.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidground_core import InputError, VidGroundError
from vidground_trl.job import RUNS, WorkerJob, loaded
from vidground_trl.parent import end_with_parent
from vidground_trl.recording import say_error

# Seconds between attempts to take the directory; None ends them.
WAITS = (0.1, 0.5, 1, 2, 4, None)


def main() -> int:
    """Runs the training that the config describes and returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="worker.json in the run directory")
    path = parser.parse_args().config.absolute()
    end_with_parent()
    # transformers warns at each generation of what trl calls in it; nothing a user could change.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    try:
        with only_one(path.parent):
            job = WorkerJob.read(path)
            status: int = loaded(RUNS[job.trainer])(job, path.parent).train()
            return status
    except VidGroundError as error:
        say_error(str(error))
        return error.exit_code


@contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Holds the directory against a second worker; a dying one gets some seconds to let go."""
    # Not asked of accelerate, which would settle here how processes talk, before the options are read.
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    with (out / "worker.lock").open("w") as lock:
        for wait in WAITS:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if wait is None:
                    raise InputError(f"{out}: another training is writing here; wait for it or choose another --out") from error
                time.sleep(wait)
        yield


if __name__ == "__main__":
    sys.exit(main())
