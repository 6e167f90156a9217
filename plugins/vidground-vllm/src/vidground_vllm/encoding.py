"""From asks to vLLM's prompts: chat template, tokens, frames."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vidground_core import Ask, Clip
from vidground_core.media import Frames, load_clip


@dataclass(frozen=True, slots=True)
class Encoded:
    """One ask as vLLM takes it.

    `ids` is the prompt with one placeholder a picture or film, which vLLM expands; `tails` are the continuations' tokens. `media` is what
    vLLM calls multi_modal_data, `names` its multi_modal_uuids: equal pixels have equal names, so that they are processed once.
    """

    ask: Ask
    ids: list[int]
    tails: tuple[list[int], ...] = ()
    media: Mapping[str, list[Any]] | None = None
    names: Mapping[str, list[str]] | None = None

    def prompt(self, tail: Sequence[int] = ()) -> dict[str, Any]:
        """vLLM's prompt, with tokens of a continuation behind it."""
        prompt: dict[str, Any] = {"prompt_token_ids": [*self.ids, *tail]}
        return prompt if self.media is None else prompt | {"multi_modal_data": self.media, "multi_modal_uuids": self.names}


class Encoder:
    """Turns asks into prompts by a checkpoint's own chat template.

    `modalities` is what the model takes of "image" and "video"; a video becomes images where it takes only these. Without a template (a
    base model) a text prompt is its parts on lines of their own and "Answer:", and continuations begin with a space. Thread-safe.
    """

    def __init__(self, tokenizer: Any, *, template: str | None, switches: Mapping[str, Any], modalities: frozenset[str]) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.switches = dict(switches)
        self.modalities = modalities
        self._lock = threading.Lock()

    def encode(self, ask: Ask) -> Encoded:
        """The ask's prompt. Raises MediaError for a clip that does not decode and ValueError for one that the model cannot take."""
        shown = [(clip, load_clip(clip)) for clip in self._clips(ask)]
        # A tokenizer is not thread-safe, decoding is, and takes the time.
        with self._lock:
            ids = self._prompt(ask, dict(shown))
            tails = tuple(self._tokens(tail if self.template else f" {tail}") for tail in ask.continuations)
        if not shown:
            return Encoded(ask, ids, tails)
        media: dict[str, list[Any]] = {}
        names: dict[str, list[str]] = {}
        for clip, frames in shown:
            kind, items = ("video", [_film(frames)]) if self._as_film(clip) else ("image", list(frames.array))
            media.setdefault(kind, []).extend(items)
            names.setdefault(kind, []).extend(f"{_name(clip)}-{number}" for number in range(len(items)))
        return Encoded(ask, ids, tails, media, names)

    def _clips(self, ask: Ask) -> Sequence[Clip]:
        if ask.clips and not self.modalities:
            raise ValueError("this model takes text only, the ask shows a clip")
        if any(clip.type == "image" for clip in ask.clips) and "image" not in self.modalities:
            raise ValueError("this model takes no images")
        if ask.clips and not self.template:
            raise ValueError("this model has no chat template, which says where a clip stands")
        return ask.clips

    def _as_film(self, clip: Clip) -> bool:
        return clip.type == "video" and "video" in self.modalities

    def _tokens(self, text: str, *, special: bool = False) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=special))

    def _prompt(self, ask: Ask, clips: Mapping[Clip, Frames]) -> list[int]:
        if not self.template:
            return self._tokens("\n".join([*(str(part) for _, parts in ask.messages for part in parts), "Answer:"]), special=True)
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
        return self._tokens(rendered)

    def _content(self, parts: Sequence[str | Clip], clips: Mapping[Clip, Frames]) -> str | list[dict[str, str]]:
        if not self.modalities:
            return "".join(part for part in parts if isinstance(part, str))
        content: list[dict[str, str]] = []
        for part in parts:
            if isinstance(part, str):
                content.append({"type": "text", "text": part})
            else:
                content.extend([{"type": "video"}] if self._as_film(part) else [{"type": "image"}] * len(clips[part].array))
        return content


def _film(frames: Frames) -> tuple[Any, dict[str, Any]]:
    """Frames and their times, so that the processor's timestamps come out as `frames.seconds`."""
    count = len(frames.array)
    metadata = {
        "total_num_frames": count,
        "fps": frames.fps,
        "duration": count / frames.fps,
        "frames_indices": (frames.seconds * frames.fps).tolist(),
        "video_backend": frames.decoder,
        "do_sample_frames": False,
    }
    return frames.array, metadata


def _name(clip: Clip) -> str:
    return hashlib.sha256(repr(replace(clip, path="" if clip.digest else clip.path)).encode()).hexdigest()
