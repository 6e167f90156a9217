"""Methods that look at whole groups and generate more than once, in two processes that do it together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vidground_trl.grpo import TRLGRPO, TRLGRPOConfig

from vidground_core import TrainJob

from .conftest import COLOURS, question

SETTINGS: dict[str, Any] = {"preset": "nano", "prompts": 16, "prompts_per_step": 4, "num_generations": 4, "frames": 4, "video_check": 0}
SETTINGS |= {"max_completion_length": 4, "lr": 3e-3, "warmup_steps": 0, "scale_rewards": "none", "processes": 2, "save_steps": 100}


@pytest.mark.slow
def test_two_processes_replace_shuffle_and_weigh_together(
    answering: Path, table: Callable[[list[Any]], Path], videos: list[Path], tmp_path: Path
) -> None:
    rows = [question(number, videos[number % 3], answer=tuple(COLOURS)[number % 2]) for number in range(12)]
    rows += [question(number) for number in range(12, 16)]  # no frames to shuffle: a process may have none
    job = TrainJob(table(rows), str(answering), tmp_path / "out", seed=3, threads=1)
    config = TRLGRPOConfig(**SETTINGS, dynamic_sampling=3, temporal_reward=0.3, token_weight=1.7, beta=0.01)
    result = TRLGRPO(config).train(job)
    lines = [json.loads(line) for line in (job.out / "metrics.jsonl").read_text().splitlines()]
    assert result.prompts == lines[-1]["prompts"] <= 16
    assert sum(row["dynamic_sampling/replaced"] for row in lines) > 0
    for row in lines:
        # Averages over the two processes, which have two groups each.
        assert row["frac_reward_zero_std"] == row["dynamic_sampling/left"] / 2
        assert 1 < row["token_weight/mean"] < 1.7
    assert result.tokens == lines[-1]["tokens"]
