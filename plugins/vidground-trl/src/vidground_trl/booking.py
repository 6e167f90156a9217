"""True video tokens in TRL's GRPO, which knows images only: every clip is booked as one image, and unbooked inside the model.

TRL slices and shuffles `pixel_values` by `image_grid_thw.prod(-1)` rows an image, whatever stands in them. So a booked clip has its real
grid (t > 1 for a video) and rows that hold nothing but its number in a `MediaStore`; the tensors stay in the store, once for each distinct
clip. Inside the model the numbers become video and image arguments again, and the vision tower runs once for each distinct number.

A video whose frames are shown as images is booked as one, too: only the text and the model's arguments hold an image for each frame, the
text with its time before it.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from typing import Any

import torch
from transformers import BatchFeature, PreTrainedModel, ProcessorMixin

from vidground_core import Clip
from vidground_trl import positions, prefill
from vidground_trl.store import Encoded, MediaStore, key_of

__all__ = ["SUPPORTED", "BookingProcessor", "MediaStore", "timestamp", "unbook", "unsampled_tokens"]

SUPPORTED = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


@dataclass(frozen=True)
class _Row:
    ids: list[int]
    types: list[int]
    clips: tuple[Encoded, ...]


class BookingProcessor(ProcessorMixin):  # type: ignore[misc]
    """What TRL sees as the processor: renders parts booked as images by their real type and returns numbers for pixels.

    It wraps the model's own processor and saves that one, so that checkpoints load without this package.
    """

    def __init__(self, plain: Any, store: MediaStore) -> None:
        self.plain, self.store = plain, store
        self.tokenizer, self.chat_template = plain.tokenizer, plain.chat_template
        self._placeholders = re.compile(f"({re.escape(plain.video_token)}|{re.escape(plain.image_token)})")
        self._texts: dict[str, str] = {}
        self._rows: dict[tuple[Any, ...], _Row] = {}

    def save_pretrained(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> Any:
        """Saves the model's own processor."""
        return self.plain.save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        """Texts of token ids."""
        texts: list[str] = self.tokenizer.batch_decode(*args, **kwargs)
        return texts

    def apply_chat_template(
        self, conversation: Any, chat_template: Any = None, tokenize: bool = False, return_dict: bool = False, **kwargs: Any
    ) -> Any:
        """One chat or a list of chats as text, or, with `tokenize`, as the booked model input. A tokenizing call starts a new batch."""
        batched = isinstance(conversation[0], list)
        chats = conversation if batched else [conversation]
        keep = {name: value for name, value in kwargs.items() if name in ("add_generation_prompt", "continue_final_message")}
        if tokenize:
            self._texts.clear()
            self._rows.clear()
        clips = self._hold(chats) if tokenize else None
        texts = [self._render(chat, keep) for chat in chats]
        if not tokenize:
            return texts if batched else texts[0]
        return self(images=clips, text=texts)

    def begin(self, chats: Sequence[Any]) -> None:
        """Makes those chats the current batch, as tokenizing them does; for a batch put together from several that were tokenized."""
        self._rows.clear()
        self._hold(chats)

    def _hold(self, chats: Sequence[Any]) -> list[list[Clip]]:
        clips = [_clips(chat) for chat in chats]
        self.store.hold(clip for row in clips for clip in row)
        return clips

    def _render(self, chat: Any, keep: dict[str, Any]) -> str:
        key = repr((chat, keep))
        if key not in self._texts:
            real = [message | {"content": [real for part in message["content"] for real in self._real(part)]} for message in chat]
            self._texts[key] = self.tokenizer.apply_chat_template(real, chat_template=self.chat_template, tokenize=False, **keep)
        return self._texts[key]

    def _real(self, part: Any) -> list[dict[str, str]]:
        """A part booked as an image by what the model's template knows: a video, an image, or images that follow their times."""
        if part["type"] != "image":
            return [part]
        shown: list[dict[str, str]] = []
        for second in self.store.times(part["image"]):
            shown += [{"type": "text", "text": timestamp(second)}, {"type": "image"}]
        return shown or [{"type": part["image"].type}]

    def __call__(
        self, images: Any = None, text: Any = None, videos: Any = None, audio: Any = None, padding: bool = False, **kwargs: Any
    ) -> BatchFeature:
        """Token ids, token types and booked clips for `text` with `images[i]` the clips of row i."""
        rows = [self._row(each, tuple(clips or ())) for each, clips in zip(text, images or repeat(()), strict=False)]
        data: dict[str, Any] = {"input_ids": [row.ids for row in rows], "mm_token_type_ids": [row.types for row in rows]}
        if padding:
            data["attention_mask"] = _left_padded([[1] * len(row.ids) for row in rows], 0)
            data["input_ids"] = _left_padded(data["input_ids"], self.tokenizer.pad_token_id)
            data["mm_token_type_ids"] = _left_padded(data["mm_token_type_ids"], 0)
        booked = [clip for row in rows for clip in row.clips]
        if booked:
            data["pixel_values"] = torch.cat([torch.full((len(clip.patches), 1), clip.number) for clip in booked])
            data["image_grid_thw"] = torch.stack([clip.grid for clip in booked])
        return BatchFeature(data)

    def _row(self, text: str, clips: tuple[Clip, ...]) -> _Row:
        key = (text, tuple(key_of(clip) for clip in clips))
        if key not in self._rows:
            self._rows[key] = self._encode(text, [self.store.find(clip) for clip in clips])
        return self._rows[key]

    def _encode(self, text: str, clips: Sequence[Encoded]) -> _Row:
        ids: list[int] = []
        waiting = iter([clip.tokens for clip in clips for _ in range(clip.parts)])
        for piece in self._placeholders.split(text):
            if self._placeholders.fullmatch(piece):
                ids += next(waiting)
            elif piece:
                ids += self.tokenizer(piece)["input_ids"]
        types: list[int] = self.plain.create_mm_token_type_ids([ids])[0]
        return _Row(ids, types, tuple(clips))


def _clips(chat: Any) -> list[Clip]:
    return [part["image"] for message in chat for part in message["content"] if part["type"] == "image"]


def timestamp(second: float) -> str:
    """What stands before a frame that is shown as an image."""
    return f"{second:.1f}s:"


def _left_padded(rows: list[list[int]], fill: int) -> torch.Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([[fill] * (width - len(row)) + row for row in rows])


def unbook(model: PreTrainedModel, store: MediaStore, *, share: bool = True) -> None:
    """Makes `model` take booked input, in `generate` and in its inner forward, which TRL calls past the outer one.

    With `share` the vision tower runs once for each distinct clip of a batch, rotary positions are worked out once for each distinct row,
    and `generate` reads a prompt once for all its rollouts; without it, all of that once for each row. Loss and gradients are the same.
    The model keeps its class, so that what it saves is an ordinary checkpoint.
    """
    inner = model.base_model
    takes_seconds = "second_per_grid_ts" in inspect.signature(type(inner).forward).parameters

    def renamed(kwargs: dict[str, Any]) -> dict[str, Any]:
        rows, grid = kwargs.get("pixel_values"), kwargs.get("image_grid_thw")
        if rows is None or grid is None or rows.ndim != 2:
            return kwargs
        rest = {name: value for name, value in kwargs.items() if name not in ("pixel_values", "image_grid_thw")}
        ends = grid.prod(-1).cumsum(0)
        numbers = rows[ends - 1, 0] if len(grid) else rows.new_zeros(0)
        clips = [store[number] for number in numbers.tolist()]
        for kind, pixels, sizes in (("video", "pixel_values_videos", "video_grid_thw"), ("image", "pixel_values", "image_grid_thw")):
            chosen = [clip for clip in clips if clip.type == kind]
            if chosen:
                rest[pixels] = torch.tensor([clip.number for clip in chosen for _ in range(clip.parts)], device=rows.device)
                rest[sizes] = torch.cat([clip.grids for clip in chosen]).to(grid.device)
        if takes_seconds and "video_grid_thw" in rest:
            seconds = [clip.seconds for clip in clips if clip.type == "video"]
            rest["second_per_grid_ts"] = torch.tensor(seconds, device=grid.device)
        return rest

    generate = model.generate
    model.generate = lambda *args, **kwargs: generate(*args, **renamed(kwargs))
    inner.register_forward_pre_hook(lambda _module, args, kwargs: (args, renamed(kwargs)), with_kwargs=True)
    for name in ("get_video_features", "get_image_features"):
        setattr(inner, name, _features(getattr(inner, name), store, share=share))
    if share:
        inner.get_rope_index = positions.shared(inner.get_rope_index)
        inner.language_model.forward = prefill.shared(inner.language_model.forward)


def _features(original: Callable[..., Any], store: MediaStore, *, share: bool) -> Callable[..., Any]:
    """`original` on clip numbers, shape (parts,): runs on the distinct clips and hands out their features again in the given order."""

    pixels, grid = list(inspect.signature(original).parameters)[:2]

    @functools.wraps(original)  # generate() reads the names of the arguments and passes by name
    def of_numbers(*args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip((pixels, grid), args, strict=False)), **kwargs}
        numbers = given[pixels]
        if numbers.ndim != 1:
            return original(**given)
        wanted = _clips_of_parts(numbers.tolist(), store)
        clips = list({clip.number: clip for clip in wanted}.values()) if share else wanted
        given[pixels] = torch.cat([clip.patches for clip in clips]).to(numbers.device)
        given[grid] = torch.cat([clip.grids for clip in clips]).to(numbers.device)
        features = original(**given)
        if share:
            starts = dict(zip((clip.number for clip in clips), accumulate((clip.parts for clip in clips), initial=0), strict=False))
            order = [starts[clip.number] + part for clip in wanted for part in range(clip.parts)]
            features.pooler_output = tuple(features.pooler_output[place] for place in order)
            if getattr(features, "deepstack_features", None) is not None:
                features.deepstack_features = [tuple(layer[place] for place in order) for layer in features.deepstack_features]
        return features

    return of_numbers


def _clips_of_parts(numbers: Sequence[int], store: MediaStore) -> list[Encoded]:
    """The clips whose parts stand one after the other in `numbers`."""
    clips: list[Encoded] = []
    place = 0
    while place < len(numbers):
        clips.append(store[numbers[place]])
        place += clips[-1].parts
    return clips


def unsampled_tokens(model: PreTrainedModel, tokenizer: Any) -> list[int]:
    """Ids of the vision tokens: sampled, they would claim features that no clip has, and break the next forward pass."""
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    ids = {getattr(model.config, name, None) for name in names}
    for token in ("<|image_pad|>", "<|video_pad|>", "<|vision_pad|>", "<|vision_start|>", "<|vision_end|>"):
        ids.add(tokenizer.get_vocab().get(token))
    return sorted(number for number in ids if number is not None)
