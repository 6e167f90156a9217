"""Batches for trainers that teach given answers: booked clips, and a loss on the answers alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import BatchFeature

from vidground_trl.booking import BookingProcessor

IGNORED = -100


class Turns:
    """Token ids of prompts and answers by the model's own chat template; prompt and answer are tokenised apart, as in generation."""

    def __init__(self, processor: BookingProcessor) -> None:
        self._processor, self._tokenizer = processor, processor.tokenizer

    def prompts(self, chats: Sequence[Any]) -> BatchFeature:
        """Ids and token types (lists, one a chat) up to where the answer begins, and the booked clips of all chats in order."""
        found: BatchFeature = self._processor.apply_chat_template(list(chats), tokenize=True, add_generation_prompt=True)
        return found

    def answer(self, text: str) -> list[int]:
        """Ids of the assistant's whole turn: the answer, then what ends the turn."""
        ids: list[int] = self._tokenizer(f"{text}{self._end()}", add_special_tokens=False)["input_ids"]
        return ids

    def _end(self) -> str:
        """What the template puts after an answer, without the line break that no model waits for."""
        asked = [{"role": "user", "content": "?"}]
        marker = "VIDGROUND"
        whole = self._processor.plain.apply_chat_template([*asked, {"role": "assistant", "content": marker}])
        return str(whole).partition(marker)[2].rstrip()


class AnswerCollator:
    """Rows with "prompt" (a chat), "images" (its clips) and "completion" as a padded batch with `labels` on the completions only.

    `input_ids`, `attention_mask`, `mm_token_type_ids` and `labels` are (rows, longest); `pixel_values` and `image_grid_thw` are booked.
    """

    def __init__(self, processor: BookingProcessor) -> None:
        self._turns = Turns(processor)
        self._pad = processor.tokenizer.pad_token_id

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch; nothing is cut."""
        prompts = self._turns.prompts([filled(row["prompt"], row["images"]) for row in rows])
        answers = [self._turns.answer(row["completion"]) for row in rows]
        return self.joined(prompts, answers)

    def joined(self, prompts: BatchFeature, answers: Sequence[list[int]]) -> dict[str, torch.Tensor]:
        """The batch of prompts and the ids of an answer each."""
        lines = list(zip(prompts["input_ids"], prompts["mm_token_type_ids"], answers, strict=True))
        batch = {
            "input_ids": padded([[*ids, *answer] for ids, _, answer in lines], self._pad),
            "attention_mask": padded([[1] * (len(ids) + len(answer)) for ids, _, answer in lines], 0),
            "mm_token_type_ids": padded([[*types, *[0] * len(answer)] for _, types, answer in lines], 0),
            "labels": padded([[*[IGNORED] * len(ids), *answer] for ids, _, answer in lines], IGNORED),
        }
        return batch | {name: prompts[name] for name in ("pixel_values", "image_grid_thw") if name in prompts}


class PairCollator:
    """Rows with "prompt", "images", "chosen" and "rejected" as TRL's DPO takes them: first all chosen rows, then all rejected ones.

    `completion_mask` is 1 on the answers; clips are booked for both halves, so that the vision tower still meets each once.
    """

    def __init__(self, processor: BookingProcessor) -> None:
        self._answers = AnswerCollator(processor)

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """A batch of twice as many rows; nothing is cut."""
        batch = self._answers([{**row, "completion": row[half]} for half in ("chosen", "rejected") for row in rows])
        labels = batch.pop("labels")
        return batch | {"completion_mask": (labels != IGNORED).long()}


def filled(prompt: Any, clips: Any) -> Any:
    """The chat with its clips in place of the parts booked as images."""
    parts = iter(clips)
    return [m | {"content": [{"type": "image", "image": next(parts)} if p["type"] == "image" else p for p in m["content"]]} for m in prompt]


def padded(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    """The rows with `fill` to the right of the shorter ones."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])
