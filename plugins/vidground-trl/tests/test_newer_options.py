"""A finished training, as an earlier version of this package left it, is known again by a later one with more options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from vidground_trl.grpo import TRLGRPO, TRLGRPOConfig

from vidground_core import InputError, TrainJob

NEWER = ("dynamic_sampling", "temporal_reward", "reference", "length_min", "extra")


@pytest.fixture
def finished(tmp_path: Path) -> TrainJob:
    job = TrainJob(tmp_path / "data", "nano", tmp_path / "out", seed=3)
    (path, text), *_ = trainer().plan(job).files.items()
    settings = json.loads(text)
    for name in NEWER:
        del settings["config"][name]
    (job.out / "checkpoint").mkdir(parents=True)
    (job.out / "checkpoint" / "config.json").write_text("{}")
    (job.out / "result.json").write_text('{"steps": 1, "prompts": 8, "tokens": 9, "metrics": {}}')
    Path(path).write_text(json.dumps(settings))
    return job


def trainer(**changes: Any) -> TRLGRPO:
    return TRLGRPO(TRLGRPOConfig(**({"preset": "nano"} | changes)))


def test_options_that_were_not_there_count_as_their_defaults(finished: TrainJob) -> None:
    assert trainer().train(finished).steps == 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"dynamic_sampling": 2}, "dynamic_sampling was 0, now 2"),
        ({"temporal_reward": 0.3}, r"temporal_reward was 0\.0, now 0\.3"),
        ({"lr": 0.5}, r"lr was 0\.0005, now 0\.5"),
    ],
)
def test_other_values_are_refused(finished: TrainJob, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=f"holds a training with other settings: {text}; choose another folder for this one"):
        trainer(**changes).train(finished)


def test_an_option_that_is_gone_is_refused(finished: TrainJob) -> None:
    path = finished.out / "worker.json"
    settings = json.loads(path.read_text())
    settings["config"]["momentum"] = 0.9
    path.write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"other settings: momentum was 0\.9, now None; choose another folder"):
        trainer().train(finished)
