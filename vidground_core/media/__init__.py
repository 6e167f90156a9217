"""Frames of videos and images: sampling, views, a bounded cache. Decoders are imported when the first pixel is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidground_core.media.cache import FrameCache
    from vidground_core.media.clips import Frames, load_clip
    from vidground_core.media.files import digest_file, resolve
    from vidground_core.media.writing import write_video

__all__ = ["FrameCache", "Frames", "digest_file", "load_clip", "resolve", "write_video"]

_PLACES = {
    "FrameCache": "cache",
    "Frames": "clips",
    "load_clip": "clips",
    "digest_file": "files",
    "resolve": "files",
    "write_video": "writing",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
