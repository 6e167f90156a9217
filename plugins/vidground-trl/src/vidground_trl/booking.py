"""True video tokens in TRL's GRPO, which knows images only: every clip is booked as one image, and unbooked inside the model.

TRL slices and shuffles `pixel_values` by `image_grid_thw.prod(-1)` rows an image, whatever stands in them. So a booked clip has its real
grid (t > 1 for a video) and rows that hold nothing but its number in a `MediaStore`; the tensors stay in the store, once for each distinct
clip. Inside the model the numbers become video and image arguments again, and the vision tower runs once for each distinct number.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
from transformers import BatchFeature, PreTrainedModel, ProcessorMixin
from transformers.video_utils import VideoMetadata

from vidground_core import Clip
from vidground_core.media import load_clip

SUPPORTED = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


@dataclass(frozen=True)
class Encoded:
    """A processed clip: `patches` (rows, features), `grid` (3,) in patches, `tokens` that its placeholder expands to.

    `seconds` is the source time a temporal patch covers, None where the model does not take it.
    """

    number: int
    type: str
    patches: torch.Tensor
    grid: torch.Tensor
    tokens: list[int]
    seconds: float | None

    @property
    def size(self) -> int:
        """Bytes of the patches."""
        return self.patches.numel() * self.patches.element_size()


class MediaStore:
    """Decodes and processes each distinct clip once; keeps `max_bytes` of results besides those of the last `batches` batches."""

    def __init__(self, processor: Any, *, min_pixels: int = 0, max_pixels: int = 0, max_bytes: int = 512 * 2**20, batches: int = 1) -> None:
        self._processor, self._max_bytes = processor, max_bytes
        self._current: deque[Collection[tuple[Any, ...]]] = deque(maxlen=batches)
        self._pixels = (min_pixels, max_pixels)
        self._numbers: OrderedDict[tuple[Any, ...], int] = OrderedDict()
        self._encoded: dict[int, Encoded] = {}
        self._bytes = 0
        self._next = 0
        self.processed = 0

    def __getitem__(self, number: int) -> Encoded:
        return self._encoded[number]

    def hold(self, clips: Iterable[Clip]) -> None:
        """Makes `clips` the current batch: all of them are at hand for `batches` calls. Raises MediaError where one does not decode."""
        keys = {_key(clip): clip for clip in clips}
        self._current.append(keys)
        for key, clip in keys.items():
            if key not in self._numbers:
                self._add(key, clip)
            self._numbers.move_to_end(key)
        for key in [key for key in self._numbers if not any(key in batch for batch in self._current)]:
            if self._bytes <= self._max_bytes:
                break
            self._bytes -= self._encoded.pop(self._numbers.pop(key)).size

    def find(self, clip: Clip) -> Encoded:
        """The processed clip; it must be of the current batch."""
        return self._encoded[self._numbers[_key(clip)]]

    def _add(self, key: tuple[Any, ...], clip: Clip) -> None:
        encoded = self._encode(clip, self._next)
        self._numbers[key], self._encoded[self._next] = self._next, encoded
        self._next, self._bytes, self.processed = self._next + 1, self._bytes + encoded.size, self.processed + 1

    def _encode(self, clip: Clip, number: int) -> Encoded:
        frames = load_clip(clip)
        pixels = torch.from_numpy(frames.array.copy()).permute(0, 3, 1, 2)
        if clip.type == "image":
            out = self._process(self._processor.image_processor, 1, text=[self._processor.image_token], images=[pixels[0]])
            return Encoded(number, "image", out["pixel_values"], out["image_grid_thw"][0], out["input_ids"][0].tolist(), None)
        count = len(frames.array)
        # The processor's rate comes out as that of the sampled frames and its timestamps as theirs, as in evaluation.
        times = (frames.seconds * frames.fps).tolist()
        metadata = VideoMetadata(total_num_frames=count, fps=frames.fps, duration=count / frames.fps, frames_indices=times)
        out = self._process(
            self._processor.video_processor,
            count,
            text=[self._processor.video_token],
            videos=[pixels],
            video_metadata=[metadata],
            do_sample_frames=False,
        )
        seconds = out.get("second_per_grid_ts")
        tokens = out["input_ids"][0].tolist()
        each = None if seconds is None else float(seconds[0])
        return Encoded(number, "video", out["pixel_values_videos"], out["video_grid_thw"][0], tokens, each)

    def _process(self, part: Any, frames: int, **inputs: Any) -> Any:
        size = _size(part, self._pixels, frames)
        return self._processor(**inputs, **({"size": size} if size else {}), return_tensors="pt")


def _size(part: Any, pixels: tuple[int, int], frames: int) -> dict[str, int] | None:
    """The processor's pixel limits with ours in place; Qwen3-VL's are for the whole video, the others' for a frame."""
    if not any(pixels):
        return None
    scale = frames if type(part).__name__.startswith("Qwen3VLVideo") else 1
    least, most = (value * scale for value in pixels)
    return {"shortest_edge": least or part.size["shortest_edge"], "longest_edge": most or part.size["longest_edge"]}


def _key(clip: Clip) -> tuple[Any, ...]:
    return (clip.digest or clip.path, clip.type, clip.start, clip.end, clip.frames, clip.fps, clip.pixels, clip.view, clip.seed)


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
        texts = [self._render(chat, keep) for chat in chats]
        if not tokenize:
            return texts if batched else texts[0]
        return self(images=self._hold(chats), text=texts)

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
            real = [message | {"content": [_real_part(part) for part in message["content"]]} for message in chat]
            self._texts[key] = self.tokenizer.apply_chat_template(real, chat_template=self.chat_template, tokenize=False, **keep)
        return self._texts[key]

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
        key = (text, tuple(_key(clip) for clip in clips))
        if key not in self._rows:
            self._rows[key] = self._encode(text, [self.store.find(clip) for clip in clips])
        return self._rows[key]

    def _encode(self, text: str, clips: Sequence[Encoded]) -> _Row:
        ids: list[int] = []
        waiting = iter(clips)
        for piece in self._placeholders.split(text):
            if self._placeholders.fullmatch(piece):
                ids += next(waiting).tokens
            elif piece:
                ids += self.tokenizer(piece)["input_ids"]
        types: list[int] = self.plain.create_mm_token_type_ids([ids])[0]
        return _Row(ids, types, tuple(clips))


def _clips(chat: Any) -> list[Clip]:
    return [part["image"] for message in chat for part in message["content"] if part["type"] == "image"]


def _real_part(part: Any) -> Any:
    return {"type": part["image"].type} if part["type"] == "image" else part


def _left_padded(rows: list[list[int]], fill: int) -> torch.Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([[fill] * (width - len(row)) + row for row in rows])


def unbook(model: PreTrainedModel, store: MediaStore, *, share: bool = True) -> None:
    """Makes `model` take booked input, in `generate` and in its inner forward, which TRL calls past the outer one.

    With `share` the vision tower runs once for each distinct clip of a batch, without it once for each clip of each row; loss and
    gradients are the same. The model keeps its class, so that what it saves is an ordinary checkpoint.
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
            chosen = [place for place, clip in enumerate(clips) if clip.type == kind]
            if chosen:
                rest[pixels], rest[sizes] = numbers[chosen], grid[chosen]
        if takes_seconds and "video_grid_thw" in rest:
            seconds = [clip.seconds for clip in clips if clip.type == "video"]
            rest["second_per_grid_ts"] = torch.tensor(seconds, device=grid.device)
        return rest

    generate = model.generate
    model.generate = lambda *args, **kwargs: generate(*args, **renamed(kwargs))
    inner.register_forward_pre_hook(lambda _module, args, kwargs: (args, renamed(kwargs)), with_kwargs=True)
    for name in ("get_video_features", "get_image_features"):
        setattr(inner, name, _features(getattr(inner, name), store, share=share))


def _features(original: Callable[..., Any], store: MediaStore, *, share: bool) -> Callable[..., Any]:
    """`original` on clip numbers, shape (clips,): runs on the distinct ones and hands out their features again in the given order."""

    pixels, grid = list(inspect.signature(original).parameters)[:2]

    @functools.wraps(original)  # generate() reads the names of the arguments and passes by name
    def of_numbers(*args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip((pixels, grid), args, strict=False)), **kwargs}
        numbers = given[pixels]
        if numbers.ndim != 1:
            return original(**given)
        wanted = numbers.tolist()
        distinct = list(dict.fromkeys(wanted)) if share else wanted
        clips = [store[number] for number in distinct]
        given[pixels] = torch.cat([clip.patches for clip in clips]).to(numbers.device)
        given[grid] = torch.stack([clip.grid for clip in clips]).to(numbers.device)
        features = original(**given)
        places = {number: place for place, number in enumerate(distinct)}
        order = [places[number] for number in wanted] if share else range(len(wanted))
        features.pooler_output = tuple(features.pooler_output[place] for place in order)
        if getattr(features, "deepstack_features", None) is not None:
            features.deepstack_features = [tuple(layer[place] for place in order) for layer in features.deepstack_features]
        return features

    return of_numbers


def unsampled_tokens(model: PreTrainedModel, tokenizer: Any) -> list[int]:
    """Ids of the vision tokens: sampled, they would claim features that no clip has, and break the next forward pass."""
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    ids = {getattr(model.config, name, None) for name in names}
    for token in ("<|image_pad|>", "<|video_pad|>", "<|vision_pad|>", "<|vision_start|>", "<|vision_end|>"):
        ids.add(tokenizer.get_vocab().get(token))
    return sorted(number for number in ids if number is not None)
