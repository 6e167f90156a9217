"""Frames of videos as image files, resized on disk: OpenRLHF has images only, and no option for their pixels."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from vidground_core import Clip
from vidground_core.media import digest_file, load_clip

JPEG_QUALITY = 95


@dataclass(frozen=True)
class Frame:
    """An image file: its absolute path, size in pixels, and when the video shows it, in seconds."""

    path: str
    width: int
    height: int
    second: float


def write_frames(clip: Clip, folder: Path, image_format: str) -> tuple[Frame, ...]:
    """The clip's frames as files in a folder of their own below `folder`; those that lie there already are taken.

    The folder's name follows from the video's content and what is shown of it, so questions on one video share its frames. Raises
    MediaError with one line that names the file where it does not decode.
    """
    from PIL import Image

    decoded = load_clip(clip)
    ending = "jpg" if image_format == "jpeg" else "png"
    shown = (digest_file(Path(clip.path)), clip.type, clip.start, clip.end, clip.frames, clip.pixels, image_format)
    place = folder / hashlib.sha256(repr(shown).encode()).hexdigest()[:24]
    paths = [place / f"{number:03}.{ending}" for number in range(len(decoded.array))]
    if not place.is_dir():
        beside = place.with_name(f"{place.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        for path, pixels in zip(paths, decoded.array, strict=True):
            Image.fromarray(pixels).save(beside / path.name, quality=JPEG_QUALITY)  # PNG has none and is exact
        try:
            beside.rename(place)
        except OSError:  # another thread was quicker with the same video
            shutil.rmtree(beside, ignore_errors=True)
    height, width = decoded.array.shape[1:3]
    return tuple(Frame(str(path), width, height, float(second)) for path, second in zip(paths, decoded.seconds, strict=True))
