"""Clips as the model's processor makes them, each distinct one once: video tokens, or every sampled frame as an image of its own."""

from __future__ import annotations

import copy
import queue
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from transformers.video_utils import VideoMetadata

from vidground_core import Clip
from vidground_core.media import Frames, load_clip
from vidground_trl.prefetch import Prefetcher

Key = tuple[Any, ...]
Video = Literal["native", "images"]


@dataclass(frozen=True)
class Encoded:
    """A processed clip: `patches` (rows, features), `grid` (3,) in patches, `tokens` that each of its placeholders expands to.

    An "image" whose grid has t > 1 is t images of one size, a placeholder each. `seconds` is the source time a temporal patch covers,
    None where the model does not take it; `times` says when each image of a video is shown, empty for anything else.
    """

    number: int
    type: str
    patches: torch.Tensor
    grid: torch.Tensor
    tokens: list[int]
    seconds: float | None
    times: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the patches."""
        return self.patches.numel() * self.patches.element_size()

    @property
    def parts(self) -> int:
        """Placeholders in the text, and videos or images that the model counts."""
        return int(self.grid[0]) if self.type == "image" else 1

    @property
    def grids(self) -> torch.Tensor:
        """The grid of each part, (parts, 3)."""
        if self.type == "video":
            return self.grid[None]
        return torch.stack([torch.ones_like(self.grid[0]), self.grid[1], self.grid[2]]).expand(self.parts, 3)


class Encoder:
    """The model's own processor on one clip. `video` "images" makes an image of every sampled frame; limits of pixels, 0 for none."""

    def __init__(self, processor: Any, *, min_pixels: int = 0, max_pixels: int = 0, video: Video = "native") -> None:
        self._processor, self._pixels, self.video = processor, (min_pixels, max_pixels), video

    def __call__(self, clip: Clip) -> Encoded:
        """The processed clip, without a number of its own. Raises MediaError where it does not decode."""
        frames = load_clip(clip)
        pixels = torch.from_numpy(frames.array.copy()).permute(0, 3, 1, 2)
        if clip.type == "image":
            return self._images(pixels[:1])
        if self.video == "images":
            return replace(self._images(pixels), times=tuple(frames.seconds.tolist()))
        return self._video(pixels, frames)

    def _images(self, pixels: torch.Tensor) -> Encoded:
        token, part = self._processor.image_token, self._processor.image_processor
        out = self._process(part, 1, text=[token] * len(pixels), images=[[each] for each in pixels])
        grids = out["image_grid_thw"]
        grid = torch.stack([grids[:, 0].sum(), grids[0, 1], grids[0, 2]])
        return Encoded(0, "image", out["pixel_values"], grid, out["input_ids"][0].tolist(), None)

    def _video(self, pixels: torch.Tensor, frames: Frames) -> Encoded:
        count = len(pixels)
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
        return Encoded(0, "video", out["pixel_values_videos"], out["video_grid_thw"][0], tokens, each)

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


class MediaStore:
    """Decodes and processes each distinct clip once; keeps `max_bytes` of results besides those of the last `batches` batches."""

    def __init__(
        self,
        processor: Any,
        *,
        min_pixels: int = 0,
        max_pixels: int = 0,
        video: Video = "native",
        max_bytes: int = 512 * 2**20,
        batches: int = 1,
    ) -> None:
        self._encode = Encoder(processor, min_pixels=min_pixels, max_pixels=max_pixels, video=video)
        self._max_bytes = max_bytes
        self._current: deque[Collection[Key]] = deque(maxlen=batches)
        self._numbers: OrderedDict[Key, int] = OrderedDict()
        self._encoded: dict[int, Encoded] = {}
        self._bytes = 0
        self._next = 0
        self._prefetcher: Prefetcher | None = None
        self.processed = 0

    def __getitem__(self, number: int) -> Encoded:
        return self._encoded[number]

    def hold(self, clips: Iterable[Clip]) -> None:
        """Makes `clips` the current batch: all of them are at hand for `batches` calls. Raises MediaError where one does not decode."""
        keys = {key_of(clip): clip for clip in clips}
        self._current.append(keys)
        for key, clip in keys.items():
            if key not in self._numbers:
                ready = self._prefetcher.take(key) if self._prefetcher is not None else None
                self._add(key, self._encode(clip) if ready is None else ready)
            self._numbers.move_to_end(key)
        for key in [key for key in self._numbers if not any(key in batch for batch in self._current)]:
            if self._bytes <= self._max_bytes:
                break
            self._bytes -= self._encoded.pop(self._numbers.pop(key)).size

    @contextmanager
    def prefetching(self, threads: int) -> Iterator[None]:
        """Within it, clips that are expected are made ready by that many threads, in as many bytes again as are kept; 0: by none."""
        if not threads:
            yield
            return
        # A tokenizer must not be used by two threads at once.
        encoders: queue.SimpleQueue[Encoder] = queue.SimpleQueue()
        for _ in range(threads):
            encoders.put(copy.deepcopy(self._encode))

        def work(clip: Clip) -> Encoded:
            encode = encoders.get()
            try:
                return encode(clip)
            finally:
                encoders.put(encode)

        self._prefetcher = Prefetcher(work, threads=threads, max_bytes=self._max_bytes)
        try:
            yield
        finally:
            self._prefetcher.close()
            self._prefetcher = None

    def expect(self, clips: Iterable[Clip]) -> None:
        """Says which clips will be held next, in that order; those at hand stay longest."""
        if self._prefetcher is None:
            return
        keys = {key_of(clip): clip for clip in clips}
        for key in (key for key in keys if key in self._numbers):
            self._numbers.move_to_end(key)
        self._prefetcher.expect({key: clip for key, clip in keys.items() if key not in self._numbers})

    def find(self, clip: Clip) -> Encoded:
        """The processed clip; it must be of the current batch."""
        return self._encoded[self._numbers[key_of(clip)]]

    def times(self, clip: Clip) -> tuple[float, ...]:
        """When each image of a video of the current batch is shown, in seconds; empty where the clip has one placeholder."""
        return self.find(clip).times if self._encode.video == "images" and clip.type == "video" else ()

    def _add(self, key: Key, encoded: Encoded) -> None:
        self._numbers[key], self._encoded[self._next] = self._next, replace(encoded, number=self._next)
        self._next, self._bytes, self.processed = self._next + 1, self._bytes + encoded.size, self.processed + 1


def key_of(clip: Clip) -> Key:
    """What of a clip its pixels depend on."""
    return (clip.digest or clip.path, clip.type, clip.start, clip.end, clip.frames, clip.fps, clip.pixels, clip.view, clip.seed)
