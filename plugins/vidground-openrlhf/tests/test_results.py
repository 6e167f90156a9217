"""What came of a training: metrics, steps, tokens, and whether there is a model at all."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest
from vidground_openrlhf.arguments import Places
from vidground_openrlhf.config import OpenRLHFConfig
from vidground_openrlhf.job import write_whole
from vidground_openrlhf.launch import TrainingError
from vidground_openrlhf.results import Metrics, complete, result_of

CONFIG = OpenRLHFConfig(prompts_per_step=2, num_generations=4)


def ended(out: Path, rows: list[dict[str, float]]) -> Places:
    """A training of 20 prompts with 1,000 prompt tokens that wrote these metrics."""
    places = Places(out)
    prepared = {"prompts": 20, "usable": 20, "set_aside": 0, "prompt_tokens": 1000, "longest": 60, "header": "h"}
    write_whole(places.prepared, json.dumps(prepared))
    write_whole(out / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    for name in ("config.json", "model.safetensors"):
        write_whole(places.checkpoint / name, "{}")
    return places


@pytest.mark.parametrize("every", [1, 3, 10])
def test_steps_and_tokens_whatever_is_logged(tmp_path: Path, every: int) -> None:
    """20 prompts in steps of two, each with four rollouts of 30 tokens: OpenRLHF logs each nth step only."""
    rows = [
        {"step": step, "completions/mean_length": 30.0, "rollout/num_samples": 8.0, "reward": step / 10} for step in range(every, 11, every)
    ]
    result = result_of(ended(tmp_path, rows), CONFIG)
    assert (result.steps, result.prompts, result.tokens) == (10, 20, 4 * (1000 + 20 * 30))
    assert result.metrics["reward"] == rows[-1]["reward"]
    assert "step" not in result.metrics


def test_refilled_groups_leave_fewer_steps(tmp_path: Path) -> None:
    places = ended(tmp_path, [{"step": 6, "completions/mean_length": 30.0}])
    sampling = CONFIG.model_copy(update={"dynamic_sampling": True})
    (tmp_path / "train.log").write_text("(PPOTrainer pid=3) Global step 6: {}\n✨ Global step 7: {'kl': 0}\nGlobal step of a question\n")
    assert result_of(places, sampling).steps == 7
    assert result_of(places, CONFIG).steps == 10
    (tmp_path / "train.log").unlink()
    assert result_of(places, sampling).steps == 10


def test_nothing_was_logged(tmp_path: Path) -> None:
    result = result_of(ended(tmp_path, []), CONFIG)
    assert (result.steps, result.tokens, result.metrics) == (10, 4000, {})


def test_a_training_without_a_model_is_none(tmp_path: Path) -> None:
    places = ended(tmp_path, [])
    (places.checkpoint / "model.safetensors").unlink()
    assert not complete(places.checkpoint)
    with pytest.raises(
        TrainingError, match=r"the training ended, and .*/checkpoint holds no model; see .*train.log, or start it with --no-res"
    ):
        result_of(places, CONFIG)


def test_metrics_that_cannot_be_written_are_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    failing = Metrics([sys.executable, "-c", "raise ImportError('no tensorboard')"])
    failing()
    failing()
    Metrics([str(tmp_path / "nowhere")])()
    assert caplog.messages[0] == (
        "metrics.jsonl could not be written from the event files (ImportError: no tensorboard); the training goes on"
    )
    assert ["No such file" in message for message in caplog.messages[1:]] == [True]


def test_metrics_that_are_written_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    Metrics([sys.executable, "-c", ""])()
    assert caplog.messages == []
