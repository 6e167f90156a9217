"""Questions of the planted world as token rows, and their clips as patches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from batched import PATCHES, Rows, to_patches
from torch import Tensor
from transformers import Qwen2_5_VLProcessor
from transformers.video_utils import VideoMetadata

from vidground_core import Clip, Question
from vidground_core.datasets.planted.loader import PlantedConfig, PlantedLoader
from vidground_core.datasets.planted.mechanisms import MECHANISMS
from vidground_core.evaluation.prompts import PROMPTS, render
from vidground_core.media import load_clip

FRAMES = 8
# No training text has a question of this kind: detection is reported on it apart.
HELD_OUT = ("give-away",)
TRAINED = tuple(name for name in MECHANISMS if name not in HELD_OUT)


def loader(**options: object) -> PlantedLoader:
    """The planted world with these options."""
    return PlantedLoader(PlantedConfig(**options))


def texts(size: int, **options: object) -> list[Question]:
    """The questions of `size` videos without making the videos."""
    world = loader(**options)
    return [question for number in range(size) for question in world.video(number)[1]]


def words() -> list[str]:
    """Every word of the planted world, sorted; taken from enough questions to meet each."""
    met = {word for question in texts(20_000, share=0.9) for text in (question.text, *question.options) for word in _split(text)}
    return sorted(met)


def _split(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text).split()


@dataclass
class Clips:
    """The clips of questions by video: patches (64, 1176) uint8 and the seconds one grid step covers, as the processor gives them."""

    processor: Qwen2_5_VLProcessor
    patches: dict[str, Tensor] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, questions: Iterable[Question]) -> None:
        """Decodes the videos not yet there."""
        for question in questions:
            if question.group not in self.patches:
                pixels = processed(self.processor, question, "")
                self.patches[question.group] = to_patches(pixels["pixel_values_videos"])
                self.seconds[question.group] = float(pixels["second_per_grid_ts"][0])
                assert self.patches[question.group].shape[0] == PATCHES


def prompt(processor: Qwen2_5_VLProcessor, question: Question, *, blind: bool, order: Sequence[int] | None = None) -> str:
    """The chat-templated text up to where the answer starts."""
    parts = [] if blind else [{"type": "video"}]
    content = [*parts, {"type": "text", "text": render(PROMPTS["bare"], question, order)}]
    return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)


def processed(processor: Qwen2_5_VLProcessor, question: Question, text: str) -> dict[str, Tensor]:
    """What the ordinary path hands to the model: frames from the file, then the processor."""
    text = text or prompt(processor, question, blind=False)
    frames = load_clip(Clip(question.media[0].path, frames=FRAMES))
    about = VideoMetadata(total_num_frames=FRAMES, fps=frames.fps, frames_indices=list(range(FRAMES)))
    video = torch.from_numpy(frames.array.copy()).permute(0, 3, 1, 2)
    return processor(text=[text], videos=[video], video_metadata=[about], do_sample_frames=False, return_tensors="pt")


def encode(clips: Clips, items: Sequence[tuple[str, str, str]], *, end: bool = True) -> Rows:
    """Rows for (prompt, answer, video or "" for none); `end` adds the end token to the answer. All with a video, or none."""
    tokenizer = clips.processor.tokenizer
    pad, video = tokenizer.pad_token_id, clips.processor.video_token_id
    rows, marks = [], []
    for text, answer, _ in items:
        start, after = tokenizer(text)["input_ids"], tokenizer(answer)["input_ids"]
        if video in start:
            start = start[:1] + [video] * 16 + start[2:]
        after = after + [tokenizer.eos_token_id] * end
        rows.append(start + after)
        marks.append([False] * len(start) + [True] * len(after))
    length = max(map(len, rows))
    ids = torch.tensor([row + [pad] * (length - len(row)) for row in rows])
    answers = torch.tensor([row + [False] * (length - len(row)) for row in marks])
    if not items[0][2]:
        return Rows(ids, answers)
    groups = [group for _, _, group in items]
    return Rows(ids, answers, torch.stack([clips.patches[g] for g in groups]), torch.tensor([clips.seconds[g] for g in groups]))
