"""Scenes as pixels and as H.264 files. Kept apart from the loader: this module needs numpy and PyAV."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vidground_core.datasets.planted.scenes import COLOURS, SIDE, Figure, Scene
from vidground_core.errors import InputError

# The same scene gives the same bytes: one thread, bit-exact muxing, and a fixed quantiser. Rate control (crf) steers by x264's
# macroblock tree, whose vector code gave about one clip in fifty another size from run to run.
_ENCODER = {"qp": "14", "preset": "veryfast", "threads": "1"}
_MUXER = {"fflags": "+bitexact"}


def render(scene: Scene) -> NDArray[np.uint8]:
    """The clip as RGB, shape (frames, 56, 56, 3). Frame i shows the time (i + 0.5) / frames."""
    frames = np.full((scene.frames, SIDE, SIDE, 3), scene.ground, np.uint8)
    times = (np.arange(scene.frames) + 0.5) / scene.frames
    for figure in scene.figures:
        seen = (times >= figure.begin) & (times < figure.until)
        frames[_mask(figure, times) & seen[:, None, None]] = COLOURS[figure.colour]
    return frames


def _mask(figure: Figure, times: NDArray[np.float64]) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    x = columns - (figure.start[0] + (figure.end[0] - figure.start[0]) * times)[:, None, None]
    y = rows - (figure.start[1] + (figure.end[1] - figure.start[1]) * times)[:, None, None]
    r = figure.radius
    mask: NDArray[np.bool_]
    if figure.shape == "circle":
        mask = x * x + y * y <= r * r
    elif figure.shape == "square":
        mask = (abs(x) <= r * 0.85) & (abs(y) <= r * 0.85)
    elif figure.shape == "triangle":
        mask = (y <= r * 0.8) & (y >= -r) & (abs(x) <= (y + r) * 0.55)
    else:
        mask = ((abs(x) <= r * 0.3) & (abs(y) <= r)) | ((abs(y) <= r * 0.3) & (abs(x) <= r))
    return mask


def write_video(path: Path, scene: Scene) -> None:
    """Writes the scene as an H.264 mp4 file that appears at once: beside it, then renamed.

    Raises InputError where the folder cannot be written to.
    """
    beside = path.with_name(f".{path.stem}.{os.getpid()}.mp4")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _encode(beside, scene)
        beside.replace(path)
    except OSError as error:
        raise InputError(
            f"planted: cannot write videos to {str(path.parent)!r}: {error.strerror or error}; set the option `folder` or VG_CACHE"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _encode(path: Path, scene: Scene) -> None:
    with av.open(str(path), "w", container_options=_MUXER) as container:
        stream = container.add_stream("libx264", rate=scene.rate, options=_ENCODER)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for picture in render(scene):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
