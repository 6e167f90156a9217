"""What a training expects is what it then shows, and expecting changes nothing but the time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler, SequentialSampler
from transformers import TrainerControl, TrainerState
from trl.trainer.utils import RepeatSampler
from vidground_trl.ahead import Ahead, asked_rows, taught_rows
from vidground_trl.booking import MediaStore
from vidground_trl.config import Schedule
from vidground_trl.job import CONFIGS, RUNS, WorkerJob, loaded
from vidground_trl.media_options import threads_ahead
from vidground_trl.store import key_of

from vidground_core import Clip, Media, MediaError, Question

from .broken_runs import equal, interrupt_at
from .conftest import COLOURS, question

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
SETTINGS: dict[str, Any] = {"preset": "nano", "prompts": 24, "prompts_per_step": 4, "save_steps": 100, "frames": 4, "warmup_steps": 0}
SETTINGS |= {"lr": 3e-3, "device": "cpu", "micro_batch": 2, "video_check": 0, "cache_mb": 1}
ROLLOUTS: dict[str, Any] = {"num_generations": 2, "max_completion_length": 3, "sample_rows": 0}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "sft": ("trl-sft", {}),
    "dpo": ("trl-dpo", {"rejected_tokens": 3}),
    "rloo": ("trl-rloo", ROLLOUTS),
    "again": ("trl-grpo", ROLLOUTS | {"num_iterations": 2}),
    "t-grpo": ("trl-grpo", ROLLOUTS | {"temporal_reward": 0.3, "video": "images"}),
    "dynamic": ("trl-grpo", ROLLOUTS | {"dynamic_sampling": 2}),
}


@pytest.fixture(autouse=True)
def as_in_a_worker() -> Iterator[None]:
    """A worker listens to signals; the signals are put back. A second thread is what a CPU run needs to look ahead."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)
    for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def data(table: Callable[[list[Question]], Path], videos: list[Path], image: Path) -> Path:
    """A span of its own for each question, so that no clip is at hand from an earlier step, and an image."""
    spans = [Media(str(videos[number % 6]), end=0.8 + number / 50) for number in range(24)]
    rows = [question(number, media=(span,), answer=tuple(COLOURS)[number % 2]) for number, span in enumerate(spans)]
    return table([*rows, question(24, image)])


class Log:
    """What a store is told to expect at the beginning of each step, and what it holds though that was not said `before` steps ago."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, before: int) -> None:
        self.expected: list[set[Any]] = []
        self.unforeseen: list[Any] = []
        expect, hold = MediaStore.expect, MediaStore.hold

        def expecting(store: MediaStore, clips: Any) -> None:
            found = list(clips)
            self.expected.append({key_of(clip) for clip in found})
            expect(store, found)

        def holding(store: MediaStore, clips: Any) -> None:
            found = list(clips)
            if len(self.expected) > before:
                said = self.expected[: len(self.expected) - before]
                self.unforeseen += [clip for clip in found if not any(key_of(clip) in keys for keys in said)]
            hold(store, found)

        monkeypatch.setattr(MediaStore, "expect", expecting)
        monkeypatch.setattr(MediaStore, "hold", holding)


@pytest.mark.slow
@pytest.mark.parametrize("arm", ARMS)
def test_all_that_is_shown_was_expected_and_the_weights_are_the_same(
    arm: str, data: Path, answering: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, own = ARMS[arm]
    # Taught batches are put together before their step begins; how many prompts dynamic sampling takes is not known before.
    log = Log(monkeypatch, before=1 if arm in ("rloo", "again", "t-grpo") else 0)
    for prefetch in (0, 2):
        out = tmp_path / str(prefetch)
        out.mkdir()
        config = loaded(CONFIGS[trainer])(**(SETTINGS | own | {"prefetch": prefetch}))
        assert loaded(RUNS[trainer])(WorkerJob(data, str(answering), 3, config, trainer), out).train() == 0
        assert bool(log.expected) is bool(prefetch)
    assert log.unforeseen == []
    assert equal(tmp_path / "0" / "checkpoint", tmp_path / "2" / "checkpoint")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


@pytest.mark.slow
def test_an_error_in_a_step_ends_the_threads(data: Path, answering: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = loaded(CONFIGS["trl-sft"])(**SETTINGS)
    run = loaded(RUNS["trl-sft"])(WorkerJob(data, str(answering), 3, config, "trl-sft"), tmp_path)
    hold = MediaStore.hold
    calls: list[int] = []

    def holding(store: MediaStore, clips: Any) -> None:
        calls.append(1)
        if len(calls) == 6:
            raise MediaError("'x.mp4' is gone")
        hold(store, clips)

    monkeypatch.setattr(MediaStore, "hold", holding)
    with pytest.raises(MediaError, match="is gone"):
        run.train()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


@pytest.mark.slow
def test_an_interrupted_run_that_looks_ahead_ends(data: Path, answering: Path, tmp_path: Path) -> None:
    from vidground_trl.sft import TRLSFT, TRLSFTConfig

    from vidground_core import TrainJob

    trainer = TRLSFT(TRLSFTConfig(**(SETTINGS | {"prompts": 4000, "prefetch": 3})))
    assert "vidground: interrupted after step" in interrupt_at(trainer, TrainJob(data, str(answering), tmp_path / "out", threads=2), 2)


@pytest.mark.parametrize(("rows", "micro", "processes"), [(8, 2, 2), (8, 4, 1), (12, 2, 3), (4, 1, 2)])
def test_rows_of_taught_steps_are_those_of_the_loader(rows: int, micro: int, processes: int) -> None:
    plan = Schedule(2, 2 * rows, rows, micro, rows // processes // micro)
    for process in range(processes):
        batches = BatchSampler(SequentialSampler(range(2 * rows)), micro, drop_last=False)
        given = [row for batch in BatchSamplerShard(batches, processes, process) for row in batch]
        own = taught_rows(plan, process=process, processes=processes)
        assert given == [step * rows + row for step in range(2) for row in own]


@pytest.mark.parametrize(("prompts", "group", "processes", "again"), [(4, 4, 2, 1), (4, 2, 1, 2), (3, 4, 2, 1), (2, 6, 4, 2)])
def test_prompts_of_rollouts_are_those_of_the_loader(prompts: int, group: int, processes: int, again: int) -> None:
    share = prompts * group // processes
    plan = Schedule(2 * again, 2 * prompts, prompts * group, share, 1)
    sampler = RepeatSampler(range(2 * prompts), group, prompts, repeat_count=again, shuffle=False)
    for process in range(processes):
        batches = list(BatchSamplerShard(BatchSampler(sampler, share, drop_last=False), processes, process))
        own = asked_rows(plan, group, process=process, processes=processes)
        for step, batch in enumerate(batches):
            assert sorted(set(batch)) == [step // again * prompts + row for row in own]


def test_a_file_that_went_away_is_complained_of_where_it_is_shown() -> None:
    def upcoming(step: int) -> list[Clip]:
        raise MediaError(f"no file in step {step}")

    Ahead(MediaStore(None), upcoming).on_step_begin(None, TrainerState(), TrainerControl())


def test_threads_that_look_ahead() -> None:
    assert [threads_ahead(1, cpu=True, threads=count, cores=8) for count in (1, 2, 3, 9)] == [0, 1, 2, 4]
    assert [threads_ahead(1, cpu=False, threads=1, cores=count) for count in (0, 1, 2, 16)] == [1, 1, 2, 4]
    assert threads_ahead(0, cpu=False, threads=4, cores=16) == 0
