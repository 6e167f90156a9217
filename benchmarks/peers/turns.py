"""Lets two trainings in processes of their own take turns: a step of one, a step of the other. For benchmarks/trl_step.py."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback


def say(**values: Any) -> None:
    """A line for the one who started this process."""
    sys.stdout.write("@" + json.dumps(values) + "\n")
    sys.stdout.flush()


def peak_mb() -> float:
    """The most memory that this process ever held, in MB (10^6 bytes)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kilobytes) * 1024 / 1e6


class Turns(TrainerCallback):  # type: ignore[misc]
    """Waits before each step for a line on standard input, and says what the last one took: all of it, with logging and the next batch.

    An empty line is one more step; anything else ends the process with its peak memory. `seconds` are processor seconds, all threads
    together; `tokens` those of prompts and completions that the step consumed, `completion` the mean tokens of a completion.
    """

    def __init__(self) -> None:
        self._began, self._seen, self._length = 0.0, -1, 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The end of one turn and the start of the next."""
        seconds, seen = time.process_time() - self._began, int(state.num_input_tokens_seen)
        if self._seen < 0:
            say(ready=True)
        else:
            say(seconds=seconds, tokens=seen - self._seen, completion=self._length)
        if sys.stdin.readline() != "\n":
            say(peak_mb=peak_mb())
            raise SystemExit(0)
        self._began, self._seen = time.process_time(), seen

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Keeps the length of the step's completions."""
        self._length = float((logs or {}).get("completions/mean_length", self._length))
