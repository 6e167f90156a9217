"""What came of a training: its metrics from OpenRLHF's event files, and its result with what it consumed."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from vidground_core import TrainResult
from vidground_openrlhf.arguments import Places
from vidground_openrlhf.config import OpenRLHFConfig
from vidground_openrlhf.launch import STEP, TrainingError
from vidground_openrlhf.prepare import Prepared

logger = logging.getLogger(__name__)


class Metrics:
    """Writes metrics.jsonl anew each time it is called; the first failure is a warning."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv, self.warned = argv, False

    def __call__(self) -> None:
        """Collects them; in the interpreter that trains, since TensorBoard is its."""
        try:
            done = subprocess.run(self.argv, check=False, capture_output=True, text=True, timeout=600)
            problem = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1] if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)
        if problem and not self.warned:
            self.warned = True
            logger.warning("metrics.jsonl could not be written from the event files (%s); the training goes on", problem)


def result_of(places: Places, config: OpenRLHFConfig) -> TrainResult:
    """The result of a training that ended. Raises TrainingError where it left no checkpoint."""
    if not complete(places.checkpoint):
        log = places.out / "train.log"
        raise TrainingError(f"the training ended, and {places.checkpoint} holds no model; see {log}, or start it with --no-resume")
    prepared = Prepared(**json.loads(places.prepared.read_text(encoding="utf-8")))
    rows = [json.loads(line) for line in _lines(places.out / "metrics.jsonl")]
    lengths = [row["completions/mean_length"] for row in rows if "completions/mean_length" in row]
    # A line stands for the steps since the one before (logging_steps): the mean of its lengths, for that of all rollouts.
    length = sum(lengths) / len(lengths) if lengths else 0.0
    tokens = round((prepared.prompt_tokens + prepared.prompts * length) * config.num_generations)
    steps = prepared.prompts // config.prompts_per_step
    if config.dynamic_sampling:
        # Refilled groups take prompts as well, so there are fewer steps: the last that the log tells of.
        steps = max(_steps(places.out / "train.log"), default=steps)
    last = {name: value for name, value in rows[-1].items() if name != "step"} if rows else {}
    return TrainResult(places.checkpoint, steps, prepared.prompts, tokens, last)


def complete(checkpoint: Path) -> bool:
    """Whether a folder holds a model: its config and weights."""
    return (checkpoint / "config.json").is_file() and any(next(checkpoint.glob(name), None) for name in ("*.safetensors", "*.bin"))


def _steps(log: Path) -> Iterator[int]:
    for line in _lines(log):
        number = line.partition(STEP)[2].partition(":")[0]
        if number.isdigit():
            yield int(number)


def _lines(path: Path) -> Iterator[str]:
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from file
