"""The check of a training that its model sees the video: before the first step and after the last, kept in `video_check.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vidground_core import Question
from vidground_trl.booking import BookingProcessor
from vidground_trl.held_out import Slice, draw
from vidground_trl.instructions import instruct
from vidground_trl.job import WorkerJob
from vidground_trl.recording import say
from vidground_trl.rewards import RewardRow
from vidground_trl.rewards_named import find_reward
from vidground_trl.rows import Selection, write_whole
from vidground_trl.sees_video import Asks, Viewer

FILE = "video_check.json"
# Rows asked at once, at most; and the longest answer that is waited for where the trainer itself generates none.
ROWS, ANSWER = 16, 32


@dataclass(frozen=True)
class VideoCheck:
    """The check of the training `job` in `out`; `together` rows pass its model at once without trouble; only the `main` process looks."""

    job: WorkerJob
    out: Path
    slice: Slice
    processor: BookingProcessor
    together: int
    main: bool = True

    @classmethod
    def of(cls, run: Any, selection: Selection, setting: Any) -> VideoCheck | None:
        """The check that the options of a run ask for; None where it is off or there are not two videos to exchange."""
        job, together = run.job, setting.plan.micro_batch * setting.plan.accumulation
        if not job.config.video_check:
            return None
        slice_ = draw(job.data, selection, job.config, seed=job.seed, size=job.config.video_check)
        if not slice_.questions:
            if run.main:
                say("whether the model sees the video is not checked: there are no two questions with different videos")
            return None
        return cls(job, run.out, slice_, setting.processor, together, run.main)

    def before(self, trainer: Any) -> None:
        """Looks at the start, says what speaks for a model that does not see, and writes the numbers. All processes must call it."""
        if self.main:
            with _placed(trainer.model, trainer.accelerator.device) as model:
                self._before(model)
        trainer.accelerator.wait_for_everyone()

    def _before(self, model: Any) -> None:
        viewer = self._viewer(model)
        seen = viewer.look(self.slice)
        for warning in seen.warnings():
            say(f"warning: {warning}")
        self._warn_of_length(model, viewer.longest)
        numbers = seen.numbers()
        say(f"{self._where()}: {_sentence(numbers)}")
        self._write({"before": numbers})

    def after(self, trainer: Any) -> dict[str, float]:
        """Looks again and returns the numbers of both looks as metrics; only the main process does."""
        return self._after(trainer.accelerator.unwrap_model(trainer.model)) if self.main else {}

    def after_sharded(self, trainer: Any, saved: Callable[[], Any]) -> dict[str, float]:
        """As `after`, where no process holds the whole weights: looks at the checkpoint that `saved` loads. Only the main process calls it.

        None where that cannot be: under DeepSpeed loading a model takes all processes, and beside shards and optimizer it may not fit.
        """
        said = "is not looked at after training; `vg eval --changed mismatched` on the checkpoint measures the same gap"
        if not trainer.is_fsdp_enabled:
            say(f"what deepspeed-zero3 has sharded {said}")
            return {}
        torch.cuda.empty_cache()
        try:
            return self._after(saved().to(trainer.accelerator.device))
        except torch.OutOfMemoryError:
            say(f"the checkpoint does not fit beside the training's own memory and {said}")
            return {}

    def _after(self, model: Any) -> dict[str, float]:
        numbers = self._viewer(model).look(self.slice).numbers()
        say(f"{self._where()}, after training: {_sentence(numbers)}")
        earlier = self._read().get("before", {})
        self._write({"before": earlier, "after": numbers})
        return {f"video/{name}": value for name, value in numbers.items()} | {f"video_before/{name}": v for name, v in earlier.items()}

    def _viewer(self, model: Any) -> Viewer:
        config = self.job.config
        asks = Asks(
            text=lambda question: instruct(question, prompt=config.prompt, answer_format=config.answer_format, accuracy=config.accuracy),
            target=self._target,
            judge=self._judge,
            new_tokens=getattr(config, "max_completion_length", ANSWER),
        )
        bf16 = model.device.type == "cuda" and config.bf16 != "off"
        return Viewer(model, self.processor, asks=asks, rows=max(1, min(ROWS, self.together)), bf16=bf16)

    def _row(self, question: Question) -> RewardRow:
        forms = (self.job.config.accuracy, self.job.config.answer_format)
        return RewardRow(question.id, question.text, question.kind, question.answer, question.options, *forms)

    def _target(self, question: Question) -> str:
        wanted = self._row(question).wanted
        return wanted if self.job.config.answer_format == "plain" else f"<answer>{wanted}</answer>"

    def _judge(self, completion: str, question: Question) -> float:
        reward = find_reward(getattr(self.job.config, "rewards", "strict"))
        return reward(completion, self._row(question)) or 0.0

    def _warn_of_length(self, model: Any, longest: int) -> None:
        most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        if most and longest > most:
            say(
                f"warning: prompt and answer take up to {longest} tokens, more than the {most} positions the model was made for; "
                "show fewer frames or pixels"
            )

    def _where(self) -> str:
        return f"{len(self.slice.questions)} {'held-out' if self.slice.held_out else 'training'} questions"

    def _read(self) -> dict[str, Any]:
        path = self.out / FILE
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def _write(self, found: Mapping[str, Any]) -> None:
        values = {"questions": [each.id for each in self.slice.questions], "held_out": self.slice.held_out, **found}
        write_whole(self.out / FILE, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def _placed(model: Any, device: Any) -> Iterator[Any]:
    """The model on the device, which a sharding trainer moves it to only later."""
    before = model.device
    try:
        yield model.to(device)
    finally:
        model.to(before)


def _sentence(numbers: Mapping[str, float]) -> str:
    right, other, blank = (f"{numbers[f'accuracy_{name}']:.0%}" for name in ("right", "mismatched", "blank"))
    changed = numbers["answers_changed_mismatched"]
    return f"accuracy {right} with the right video, {other} with another's, {blank} with black frames; {changed:.0%} of answers change"
