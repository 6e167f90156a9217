"""From asks to a model's inputs: chat template, tokenizer, processor, padding."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vidground_core import Ask, Clip
from vidground_core.media import Frames, load_clip

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Encoded:
    """One ask as tokens.

    `ids` is the prompt, `aligned` what has one value a prompt token (such as `mm_token_type_ids`), `tensors` the pictures and their grids.
    `tails` are the continuations' tokens.
    """

    ask: Ask
    ids: list[int]
    aligned: dict[str, list[int]] = field(default_factory=dict)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    tails: tuple[list[int], ...] = ()

    @property
    def shape(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """What two asks must agree on to stand in one batch."""
        return tuple((name, tuple(tensor.shape[1:])) for name, tensor in sorted(self.tensors.items()))


class Encoder:
    """Turns asks into tokens by a checkpoint's own template and processor.

    `processor` is the checkpoint's `AutoProcessor` or, for a text model, its tokenizer. Without a chat template (a base model) a prompt is
    its parts on lines of their own and "Answer:", and continuations begin with a space.
    """

    def __init__(self, processor: Any, *, switches: dict[str, Any]) -> None:
        self.processor = processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.switches = switches
        self.template = getattr(processor, "chat_template", None) or getattr(self.tokenizer, "chat_template", None)
        self.films = getattr(processor, "video_processor", None) is not None
        self.pictures = getattr(processor, "image_processor", None) is not None
        # A fast tokenizer that is told how to pad in one thread while another decodes raises "Already borrowed".
        self._one_at_a_time = threading.Lock()

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens, without special ones."""
        with self._one_at_a_time:
            text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text

    def encode_texts(self, asks: Sequence[Ask]) -> list[Encoded]:
        """The tokens of asks without clips, all through the tokenizer at once."""
        if not asks:
            return []
        prompts = self._tokens([self._render(ask, {}) for ask in asks], special=not self.template)
        spelled = list(dict.fromkeys(tail for ask in asks for tail in ask.continuations))
        tails = dict(zip(spelled, self._tokens([self._tail(tail) for tail in spelled], special=False), strict=True))
        return [Encoded(ask, ids, tails=tuple(tails[tail] for tail in ask.continuations)) for ask, ids in zip(asks, prompts, strict=True)]

    def encode(self, ask: Ask) -> Encoded:
        """The ask's tokens. Raises MediaError for a clip that does not decode and ValueError for one that the model cannot take."""
        clips = [(clip, load_clip(clip)) for clip in self._clips(ask)]
        if not clips:
            return self.encode_texts([ask])[0]
        text = self._render(ask, dict(clips))
        tails = tuple(self._tokens([self._tail(tail) for tail in ask.continuations], special=False))
        encoded = self._process(text, clips)
        length = encoded["input_ids"].shape[1]
        rows = {name: value for name, value in encoded.items() if value.ndim == 2 and value.shape == (1, length)}
        aligned = {name: value[0].tolist() for name, value in rows.items() if name not in ("input_ids", "attention_mask")}
        tensors = {name: value for name, value in encoded.items() if name not in rows}
        return Encoded(ask, encoded["input_ids"][0].tolist(), aligned, tensors, tails)

    def _tokens(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        with self._one_at_a_time:
            return self.tokenizer(list(texts), add_special_tokens=special)["input_ids"] if texts else []

    def _clips(self, ask: Ask) -> Sequence[Clip]:
        if ask.clips and not (self.films or self.pictures):
            raise ValueError("this model takes text only, the ask shows a clip")
        if any(clip.type == "image" for clip in ask.clips) and not self.pictures:
            raise ValueError("this model takes no images")
        return ask.clips

    def _tail(self, continuation: str) -> str:
        return continuation if self.template else f" {continuation}"

    def _as_film(self, clip: Clip) -> bool:
        return clip.type == "video" and self.films

    def _process(self, text: str, clips: Sequence[tuple[Clip, Frames]]) -> dict[str, torch.Tensor]:
        import torch
        from transformers.video_utils import VideoMetadata

        films: list[torch.Tensor] = []
        metadata: list[Any] = []
        images: list[torch.Tensor] = []
        for clip, frames in clips:
            # Copied, because the cache's frames are read-only.
            array = torch.tensor(frames.array).permute(0, 3, 1, 2)
            if self._as_film(clip):
                films.append(array)
                metadata.append(_metadata(frames, VideoMetadata))
            else:
                images.extend(array)
        media: dict[str, Any] = {"images": images} if images else {}
        if films:
            media |= {"videos": films, "video_metadata": metadata, "do_sample_frames": False}
        with self._one_at_a_time:
            encoded = self.processor(text=[text], return_tensors="pt", add_special_tokens=not self.template, **media)
        return {name: torch.as_tensor(value) for name, value in encoded.items() if name != "video_metadata"}

    def _render(self, ask: Ask, clips: dict[Clip, Frames]) -> str:
        if not self.template:
            return self._plain(ask, clips)
        messages = [{"role": role, "content": self._content(parts, clips)} for role, parts in ask.messages]
        # A last message of the assistant is a beginning that the model continues.
        begun = bool(ask.messages) and ask.messages[-1][0] == "assistant"
        rendered: str = self.tokenizer.apply_chat_template(
            messages,
            chat_template=self.template,
            tokenize=False,
            add_generation_prompt=not begun,
            continue_final_message=begun,
            **self.switches,
        )
        return rendered

    def _content(self, parts: Sequence[str | Clip], clips: dict[Clip, Frames]) -> str | list[dict[str, str]]:
        if not (self.films or self.pictures):
            return "".join(part for part in parts if isinstance(part, str))
        content: list[dict[str, str]] = []
        for part in parts:
            if isinstance(part, str):
                content.append({"type": "text", "text": part})
            else:
                content.extend([{"type": "video"}] if self._as_film(part) else [{"type": "image"}] * len(clips[part].array))
        return content

    def _plain(self, ask: Ask, clips: dict[Clip, Frames]) -> str:
        lines = []
        for _, parts in ask.messages:
            for part in parts:
                if isinstance(part, str):
                    lines.append(part)
                else:
                    film = self._as_film(part)
                    lines.append(self.processor.video_token if film else self.processor.image_token * len(clips[part].array))
        return "\n".join([*lines, "Answer:"])


def _metadata(frames: Frames, kind: Any) -> Any:
    """Times for the processor: its `sampled_fps` comes out as exactly `frames.fps`, and its timestamps as `frames.seconds`."""
    count, height, width = frames.array.shape[:3]
    return kind(
        total_num_frames=count,
        fps=frames.fps,
        width=width,
        height=height,
        duration=count / frames.fps,
        frames_indices=(frames.seconds * frames.fps).tolist(),
    )


def collate(batch: Sequence[Encoded], *, pad: int, device: Any) -> dict[str, torch.Tensor]:
    """The prompts of a batch, padded on the left; pictures one after the other. All of one `shape`."""
    import torch

    width = max(len(item.ids) for item in batch)
    columns: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], **{name: [] for item in batch for name in item.aligned}}
    for item in batch:
        gap = width - len(item.ids)
        columns["input_ids"].append([pad] * gap + item.ids)
        columns["attention_mask"].append([0] * gap + [1] * len(item.ids))
        for name in columns.keys() - {"input_ids", "attention_mask"}:
            columns[name].append([0] * gap + item.aligned.get(name, [0] * len(item.ids)))
    inputs = {name: torch.tensor(rows, device=device) for name, rows in columns.items()}
    for name in batch[0].tensors:
        inputs[name] = torch.cat([item.tensors[name] for item in batch]).to(device)
    return inputs
