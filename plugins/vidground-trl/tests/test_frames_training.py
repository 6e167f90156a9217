"""Trainings on frames as images, by each trainer, short and real."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from vidground_trl.job import CONFIGS, RUNS, WorkerJob, loaded

from vidground_core import Question
from vidground_core.models import resolve_model

from .conftest import question

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
SETTINGS: dict[str, Any] = {"preset": "nano", "prompts": 8, "prompts_per_step": 4, "save_steps": 100, "frames": 4, "warmup_steps": 0}
SETTINGS |= {"lr": 3e-3, "video": "images", "device": "cpu", "micro_batch": 2, "video_check": 4}
ROLLOUTS: dict[str, Any] = {"num_generations": 2, "max_completion_length": 3, "sample_rows": 0, "beta": 0.04}
OWN: dict[str, dict[str, Any]] = {"trl-grpo": ROLLOUTS, "trl-rloo": ROLLOUTS, "trl-sft": {}, "trl-dpo": {"rejected_tokens": 3}}


@pytest.fixture(autouse=True)
def as_in_a_worker() -> Iterator[None]:
    """A worker listens to signals and uses one thread here; the signals are put back."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    torch.set_num_threads(1)
    yield
    for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def train(table: Callable[[list[Question]], Path], videos: list[Path], image: Path, tmp_path: Path) -> Callable[..., Path]:
    """Trains `model` by that trainer in this process, on videos, an image and a row of text alone; the folder of the run."""

    def run(trainer: str, model: str, **changes: Any) -> Path:
        rows = [question(number, videos[number // 2]) for number in range(10)]
        data = table([*rows, question(10, image), question(11)])
        out = tmp_path / "-".join(["out", *map(str, changes.values())])
        out.mkdir()
        config = loaded(CONFIGS[trainer])(**(SETTINGS | OWN[trainer] | changes))
        assert loaded(RUNS[trainer])(WorkerJob(data, model, 3, config, trainer), out).train() == 0
        return out

    return run


def tokens(out: Path) -> int:
    return int(json.loads((out / "result.json").read_text())["tokens"])


@pytest.mark.slow
@pytest.mark.parametrize("trainer", OWN)
def test_each_trainer_learns_from_images(trainer: str, train: Callable[..., Path], answering: Path) -> None:
    out = train(trainer, str(answering))
    before, after = load_file(answering / "model.safetensors"), load_file(out / "checkpoint" / "model.safetensors")
    for visual in (True, False):
        assert any(("visual" in name) is visual and not torch.equal(before[name], after[name]) for name in before)
    check = json.loads((out / "video_check.json").read_text())["before"]
    assert check["loss_right"] != check["loss_blank"]
    assert tokens(out) > tokens(train(trainer, str(answering), video="native"))


@pytest.mark.slow
def test_t_grpo_compares_with_shuffled_images(train: Callable[..., Path], answering: Path) -> None:
    out = train("trl-grpo", str(answering), temporal_reward=0.3, num_generations=4)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert all({"temporal/ordered", "temporal/shuffled", "temporal/groups"} <= row.keys() for row in rows)


@pytest.mark.slow
def test_the_shipped_model_sees_images_and_their_tokens_are_counted(train: Callable[..., Path]) -> None:
    out, native = (train("trl-sft", resolve_model("nano"), video=video) for video in ("images", "native"))
    check = json.loads((out / "video_check.json").read_text())["before"]
    assert abs(check["loss_right"] - check["loss_blank"]) > 0.01
    order = json.loads((out / "order.json").read_text())["order"]
    # Four frames of four tokens, each after "0.6s:" (four tokens) and between two ends; as video two steps of four tokens between two.
    assert tokens(out) - tokens(native) == sum(place < 10 for place in order) * (4 * (4 + 4 + 2) - (2 * 4 + 2))
