"""TensorBoard's event files as metrics.jsonl: `python -m vidground_openrlhf.metrics EVENTS METRICS`, in the interpreter that trains.

OpenRLHF names `train/reward` what others call `reward`; a few are given the names that the report page and `vg ablate` know as well.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from vidground_openrlhf.job import write_whole

KNOWN: Mapping[str, str] = {
    "rollout/reward_mean": "reward",
    "rollout/response_length_mean": "completions/mean_length",
    "rollout/truncated_rate": "completions/clipped_ratio",
    "policy_loss": "loss",
    "actor_lr": "learning_rate",
}


def collect(events: Path) -> list[dict[str, float]]:
    """One object a step, by step; a later event file (a resumed run) replaces what an earlier one said of the same step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped, unused-ignore]

    steps: dict[int, dict[str, float]] = {}
    files = sorted(events.rglob("*tfevents*"), key=lambda path: path.stat().st_mtime_ns)
    for file in files:
        accumulator = EventAccumulator(str(file), size_guidance={"scalars": 0})
        accumulator.Reload()
        for tag in accumulator.Tags()["scalars"]:
            name = tag.removeprefix("train/")
            for event in accumulator.Scalars(tag):
                row = steps.setdefault(event.step, {})
                row[name] = event.value
                if name in KNOWN:
                    row[KNOWN[name]] = event.value
    return [{"step": step, **steps[step]} for step in sorted(steps)]


def main() -> None:
    """Writes the metrics file anew from all event files there are."""
    events, out = map(Path, sys.argv[1:3])
    if events.is_dir():
        write_whole(out, "".join(json.dumps(row) + "\n" for row in collect(events)))


if __name__ == "__main__":
    main()
