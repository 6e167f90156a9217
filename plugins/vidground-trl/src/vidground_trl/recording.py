"""What training leaves behind while it runs: metrics, sample rollouts, markers on whole checkpoints, a stop that can be resumed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from vidground_core import Clip
from vidground_core.tables import append_jsonl
from vidground_trl.checkpoints import mark_complete
from vidground_trl.config import TRLGRPOConfig
from vidground_trl.methods.soft_reward import with_soft
from vidground_trl.process import ERROR_MARK, MARK
from vidground_trl.rewards import format_reward, row_of
from vidground_trl.rewards_named import find_reward

Headline = Callable[[Mapping[str, Any]], str]
Samples = Callable[[], list[dict[str, Any]]]
# Metrics of TRL and transformers that the line has under names of our own, or that tell the time.
_COUNTED = ("num_tokens", "num_input_tokens_seen", "train_tokens_per_second", "train_runtime")


class Rewards:
    """The reward functions of a run, each judging every row by its own kind; remembers the last batch for the samples.

    `opened` is what the prompt ends with that belongs to the completion: the `<think>` of templates that write it themselves.
    """

    def __init__(self, config: TRLGRPOConfig) -> None:
        self._config = config
        reward = find_reward(config.rewards)
        self._reward = with_soft(reward) if config.soft_reward else reward
        self._form = format_reward(config.rewards)
        self.opened = ""
        self.last: dict[str, Any] = {}

    def functions(self) -> tuple[list[Any], list[float]]:
        """The functions in TRL's form and their weights."""
        if self._config.format_reward:
            return [self._accuracy(), self._format()], [1.0, self._config.format_reward]
        return [self._accuracy()], [1.0]

    def _accuracy(self) -> Any:
        form = {"accuracy": self._config.accuracy, "answer_format": self._config.answer_format}

        def accuracy_reward(completions: Sequence[Any], **columns: Any) -> list[float | None]:
            texts = [completion[0]["content"] for completion in completions]
            values = [self._reward(self.opened + text, row_of(columns, place, **form)) for place, text in enumerate(texts)]
            self.last = {"id": columns["id"], "text": columns["text"], "gold": columns["gold"], "completions": texts}
            self.last |= {"accuracy": values, "media": columns.get("images", [()] * len(texts))}
            return values

        return _named(accuracy_reward, "accuracy")

    def _format(self) -> Any:
        def judge_format(completions: Sequence[Any], **_: Any) -> list[float]:
            values = [self._form(self.opened + completion[0]["content"]) for completion in completions]
            self.last["format"] = values
            return values

        return _named(judge_format, "format")

    def samples(self) -> list[dict[str, Any]]:
        """Up to `sample_rows` prompts of the last batch with all their rollouts and rewards, and under `media` which frames were shown."""
        group, rows = self._config.num_generations, []
        for start in range(0, min(self._config.sample_rows * group, len(self.last.get("id", ()))), group):
            part = slice(start, start + group)
            row = {"id": self.last["id"][start], "prompt": self.last["text"][start], "gold": self.last["gold"][start]}
            row["completions"] = self.last["completions"][part]
            row["media"] = [_shown(clip) for clip in self.last["media"][start]]
            rows.append(row | {"rewards": {name: self.last[name][part] for name in ("accuracy", "format") if name in self.last}})
        return rows


def _shown(clip: Clip) -> dict[str, Any]:
    """Where the frames of a clip come from: `frames` of them, evenly over the span from `start` to `end` seconds."""
    return {name: getattr(clip, name) for name in ("path", "type", "start", "end", "frames", "view")}


def _named(function: Any, name: str) -> Any:
    function.__name__ = name
    return function


class Recorder(TrainerCallback):  # type: ignore[misc]
    """Writes `metrics.jsonl` and `samples.jsonl` at each logging step and marks checkpoints as complete.

    A log counts as a step's where it has the metric `leading`; `prompts` are consumed a step, where `consumed` does not count them by
    step; `headline` says in words how a step went; `samples` are rows for people to read.
    """

    def __init__(
        self,
        out: Path,
        *,
        leading: str,
        headline: Headline,
        prompts: int = 0,
        consumed: Callable[[int], int] | None = None,
        samples: Samples | None = None,
    ) -> None:
        self._out, self._consumed = out, consumed or (lambda steps: steps * prompts)
        self._leading, self._headline, self._samples = leading, headline, samples
        self.last: dict[str, float] = {}

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        """One line of metrics: those TRL computed, `step`, and the prompts and tokens consumed so far."""
        if not state.is_world_process_zero or logs is None or self._leading not in logs:
            return
        counts = {"step": state.global_step, "prompts": self._consumed(state.global_step), "tokens": int(state.num_input_tokens_seen)}
        values = {name: value for name, value in logs.items() if isinstance(value, int | float) and name not in _COUNTED}
        self.last = {**self.last, **values}
        append_jsonl(self._out / "metrics.jsonl", [counts | values])
        if self._samples is not None:
            append_jsonl(self._out / "samples.jsonl", [{"step": state.global_step} | row for row in self._samples()])
        say(f"step {state.global_step}/{state.max_steps}: {self._headline(logs)}")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called when this process has written its files of a checkpoint, which is whole once all have."""
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            mark_complete(Path(args.output_dir) / f"checkpoint-{state.global_step}", state.global_step)


class Interruption(TrainerCallback):  # type: ignore[misc]
    """SIGINT or SIGTERM: finish the step, save a checkpoint where a resumed run would be the same, and stop."""

    def __init__(self, window: int = 1) -> None:
        self._window = window
        self.requested = False

    def listen(self) -> None:
        """Takes the two signals over."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request)

    def _request(self, *_: Any) -> None:
        self.requested = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Acts on a signal that came to any process during the step."""
        if _anywhere(self.requested, args.device) and not control.should_training_stop:
            control.should_training_stop = True
            control.should_save = state.global_step % self._window == 0


def _anywhere(requested: bool, device: Any) -> bool:
    if not torch.distributed.is_initialized():
        return requested
    flag = torch.tensor(int(requested), device=device)
    torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
    return bool(flag.item())


def say(text: str) -> None:
    """A line for the one who started the run; the parent passes lines with this mark on."""
    sys.stdout.write(f"{MARK}{text}\n")
    sys.stdout.flush()


def say_error(text: str) -> None:
    """Why the run cannot go on; the parent raises it."""
    sys.stdout.write(f"{ERROR_MARK}{' '.join(text.split())}\n")
    sys.stdout.flush()
