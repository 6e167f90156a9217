"""Does the model see the video? Loss and answer on the same questions with the right video, another one and a black one.

The comparison of VidGround's detectors `mismatched-video` and `blank-video`, made inside the trainer: with its weights, its processor, its
prompts and its reward. The gap in accuracy between right and mismatched video says how much of what is right was seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import GenerationConfig

from vidground_core import Clip, Question
from vidground_core.media import resolve
from vidground_trl.booking import BookingProcessor, unsampled_tokens
from vidground_trl.held_out import Slice

CONDITIONS = ("right", "mismatched", "blank")
# Losses, in nats an answer, nearer than this are the same: rounding of the sums in a batch of another width.
SAME = 1e-4
Shown = tuple[Question, tuple[Clip, ...]]


@dataclass(frozen=True)
class Seen:
    """What the model made of the slice, by condition and row: `loss` of the right answer in nats, greedy `answer`, its `reward`."""

    loss: Mapping[str, Sequence[float]]
    answer: Mapping[str, Sequence[str]]
    reward: Mapping[str, Sequence[float]]

    def numbers(self) -> dict[str, float]:
        """Means by condition; shares of answers that change with the video; accuracy with the right video less that with another."""
        found = {f"loss_{name}": _mean(values) for name, values in self.loss.items()}
        found |= {f"accuracy_{name}": _mean(values) for name, values in self.reward.items()}
        for name in CONDITIONS[1:]:
            changed = [ours != theirs for ours, theirs in zip(self.answer["right"], self.answer[name], strict=True)]
            found[f"answers_changed_{name}"] = _mean([float(each) for each in changed])
        return found | {"accuracy_gap": found["accuracy_right"] - found["accuracy_mismatched"]}

    def warnings(self) -> list[str]:
        """What speaks for a model that does not look, one sentence each; empty where its losses and answers follow the video."""
        numbers, rows = self.numbers(), len(self.loss["right"])
        if all(abs(self._rise("blank", row)) < SAME for row in range(rows)):
            return [
                f"the model does not see the video: with black frames the loss of all {rows} answers stays the same; "
                "look at the processor, the chat template and the model's vision tower"
            ]
        found = []
        if numbers["answers_changed_mismatched"] == 0 and numbers["answers_changed_blank"] == 0:
            found.append(f"none of {rows} answers changes with another video or a black one: the model answers from the text")
        rise, error = self._mismatched_rise()
        if rise <= error:
            found.append(
                f"the right answer is hardly less likely with another question's video ({rise:+.3f} nats, standard error {error:.3f}): "
                "what the model knows of these questions is not in the video, or it does not use it"
            )
        return found

    def _rise(self, condition: str, row: int) -> float:
        return self.loss[condition][row] - self.loss["right"][row]

    def _mismatched_rise(self) -> tuple[float, float]:
        rises = [self._rise("mismatched", row) for row in range(len(self.loss["right"]))]
        mean = _mean(rises)
        spread = math.sqrt(sum((each - mean) ** 2 for each in rises) / max(1, len(rises) - 1))
        return mean, spread / math.sqrt(len(rises))


@dataclass(frozen=True)
class Asks:
    """How a trainer asks: the prompt of a question, its right answer, the reward of a completion, and the most tokens of one."""

    text: Callable[[Question], str]
    target: Callable[[Question], str]
    judge: Callable[[str, Question], float]
    new_tokens: int


class Viewer:
    """Asks a model that takes booked input about a slice, as its trainer would; `rows` are asked at once.

    `longest` is the most tokens that a prompt and its answer can take.
    """

    def __init__(self, model: Any, processor: BookingProcessor, *, asks: Asks, rows: int = 16, bf16: bool = False) -> None:
        self._model, self._processor, self._asks, self._rows, self._bf16 = model, processor, asks, rows, bf16
        self.longest = 0

    def look(self, slice_: Slice) -> Seen:
        """Losses, greedy answers and rewards under all conditions; training mode and random state are left as they were."""
        blank = tuple(tuple(replace(clip, view="blank") for clip in clips) for clips in slice_.right)
        loss: dict[str, list[float]] = {}
        answer: dict[str, list[str]] = {}
        with self._looking():
            for name, clips in zip(CONDITIONS, (slice_.right, slice_.mismatched, blank), strict=True):
                shown = list(zip(slice_.questions, clips, strict=True))
                parts = [shown[start : start + self._rows] for start in range(0, len(shown), self._rows)]
                loss[name] = [value for part in parts for value in self._losses(part)]
                answer[name] = [text for part in parts for text in self._answers(part)]
        pairs = {name: zip(texts, slice_.questions, strict=True) for name, texts in answer.items()}
        return Seen(loss, answer, {name: [self._asks.judge(text, each) for text, each in pairs[name]] for name in CONDITIONS})

    @contextmanager
    def _looking(self) -> Iterator[None]:
        model, training = self._model, self._model.training
        devices = [model.device] if model.device.type == "cuda" else []
        model.eval()
        try:
            with (
                torch.no_grad(),
                torch.random.fork_rng(devices),
                torch.autocast(model.device.type, torch.bfloat16, enabled=self._bf16),
            ):
                yield
        finally:
            model.base_model.rope_deltas = None
            model.train(training)

    def _losses(self, shown: Sequence[Shown]) -> list[float]:
        tokenizer = self._processor.tokenizer
        targets = [tokenizer(self._asks.target(question))["input_ids"] + [tokenizer.eos_token_id] for question, _ in shown]
        inputs = self._inputs(shown, targets)
        keep = max(len(target) for target in targets)
        logits = self._model(**inputs, logits_to_keep=keep + 1, use_cache=False).logits[:, :-1].float()
        given = logits.log_softmax(-1).gather(-1, inputs["input_ids"][:, -keep:, None])[..., 0]
        return [-float(row[-len(target) :].sum()) for row, target in zip(given, targets, strict=True)]

    def _answers(self, shown: Sequence[Shown]) -> list[str]:
        inputs = self._inputs(shown, [[] for _ in shown])
        self.longest = max(self.longest, inputs["input_ids"].shape[1] + self._asks.new_tokens)
        made = self._model.generate(**inputs, generation_config=self._greedy())[:, inputs["input_ids"].shape[1] :]
        return self._processor.batch_decode(made, skip_special_tokens=True)

    def _greedy(self) -> GenerationConfig:
        stops, tokenizer = self._model.generation_config, self._processor.tokenizer
        return GenerationConfig(
            do_sample=False,
            max_new_tokens=self._asks.new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=stops.eos_token_id or tokenizer.eos_token_id,
            suppress_tokens=unsampled_tokens(self._model, tokenizer) or None,
        )

    def _inputs(self, shown: Sequence[Shown], targets: Sequence[list[int]]) -> dict[str, Any]:
        """The chats, each followed by its target, padded on the left; targets end together."""
        chats = [[{"role": "user", "content": self._content(question, clips)}] for question, clips in shown]
        made = self._processor.apply_chat_template(chats, tokenize=True, add_generation_prompt=True)
        ids = [[*row, *target] for row, target in zip(made.pop("input_ids"), targets, strict=True)]
        types = [[*row, *(0 for _ in target)] for row, target in zip(made.pop("mm_token_type_ids"), targets, strict=True)]
        fill = self._processor.tokenizer.pad_token_id
        inputs = dict(made) | {
            "input_ids": _padded(ids, fill),
            "attention_mask": _padded([[1] * len(row) for row in ids], 0),
            "mm_token_type_ids": _padded(types, 0),
        }
        return {name: value.to(self._model.device) for name, value in inputs.items()}

    def _content(self, question: Question, clips: Sequence[Clip]) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = [{"type": "image", "image": resolve(clip)} for clip in clips]
        return [*parts, {"type": "text", "text": self._asks.text(question)}]


def _padded(rows: list[list[int]], fill: int) -> torch.Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([[fill] * (width - len(row)) + row for row in rows])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
