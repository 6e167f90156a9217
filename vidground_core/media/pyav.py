"""Opening and indexing files with PyAV, and what it makes of a decoded frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidground_core.errors import MediaError
from vidground_core.media.sampling import Indices, Times, duration

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Index:
    """What the headers and packets of a video file say, without decoding.

    `times` are seconds from the first frame, one a frame; `rate` the nominal frame rate (0 where unknown); `promised` the length in the
    header in seconds (0 where it has none). `stamps` are the presentation times in the stream's own unit, `keys` those of the key
    frames; both None where the file has none (frames are counted then). `closed` says that no frame stands between a key frame and
    its predecessors in presentation but after it in the file (no open groups of pictures). `streams` is the number of picture streams,
    cover art included.
    """

    path: str
    codec: str
    promised: float
    rate: float
    times: Times
    stamps: Indices | None
    keys: Indices | None
    closed: bool
    streams: int


def open_container(path: str) -> Any:
    """An open `av` container that has pictures. Raises MediaError for what FFmpeg cannot open and for files without a picture stream."""
    import av

    try:
        container = av.open(path)
    except av.FFmpegError as error:
        raise MediaError(f"{path!r} cannot be opened as a video or image: {reason(error)}") from error
    if not pictures(container):
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "none"
        container.close()
        raise MediaError(f"{path!r} has no picture stream; its streams: {kinds}")
    return container


def pictures(container: Any) -> Any:
    """The stream that FFmpeg calls best (`av_find_best_stream`); None where there are no moving pictures (cover art is none)."""
    from av.stream import Disposition

    best = container.streams.best("video")
    if best is None or best.disposition & Disposition.attached_pic:
        return None
    return best


def scan(path: str) -> Index:
    """Reads the index of a video file; those read last are remembered by path, size and modification time.

    Raises MediaError where there is no picture stream, no frame, or the file was cut short.
    """
    try:
        state = Path(path).stat()
    except OSError:  # av says what is wrong with it
        return _scan.__wrapped__(path, 0, 0)
    return _scan(path, state.st_size, state.st_mtime_ns)


# An hour of video takes 1.5 MB here.
@lru_cache(maxsize=64)
def _scan(path: str, size: int, changed: int) -> Index:
    import av

    with open_container(path) as container:
        stream, streams = pictures(container), len(container.streams.video)
        name, rate = stream.codec_context.codec.canonical_name, float(stream.average_rate or stream.guessed_rate or 0)
        promised, base = float(container.duration or 0) / av.time_base, float(stream.time_base)
        try:
            packets = [(packet.pts, packet.is_keyframe) for packet in container.demux(stream) if packet.size and not packet.is_discard]
        except av.FFmpegError as error:
            raise MediaError(f"{path!r}: its packets cannot be read: {reason(error)}") from error
    if not packets:
        raise MediaError(f"{path!r} has a picture stream without a single frame")
    if len({pts for pts, _ in packets} - {None}) < len(packets):
        times = np.arange(len(packets)) / (rate or 1.0)
        stamps = keys = None
        closed = False
    else:
        order = np.array([pts for pts, _ in packets], np.int64)
        stamps, keys = np.sort(order), np.sort(order[[key for _, key in packets]])
        times = (stamps - stamps[0]) * base
        closed = _closed(order, keys)
    index = Index(path, str(name), promised, rate, times, stamps, keys, closed, streams)
    _refuse_cut(index)
    return index


def _closed(order: Indices, keys: Indices) -> bool:
    """Whether each key frame has as many frames before it in the file as in presentation."""
    places = np.flatnonzero(np.isin(order, keys))
    return np.array_equal(places, np.searchsorted(np.sort(order), order[places]))


def _refuse_cut(index: Index) -> None:
    """Raises MediaError where all streams end well before the length in the header.

    That is more than a second and a tenth of the length: headers round, and a last picture may stand for long.
    """
    margin = max(1.0, index.promised / 10)
    shown = last = duration(index.times, index.rate)
    if shown > index.promised - margin:
        return
    with open_container(index.path) as container:
        begin = float(container.start_time or 0) / 1e6
        for packet in container.demux():
            if packet.pts is not None and packet.time_base is not None:
                last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base) - begin)
    if last < index.promised - margin:
        raise MediaError(f"{index.path!r} is cut short: its header says {index.promised:.1f} s, its frames end at {shown:.1f} s")


def upright(frame: Any) -> Image:
    """A decoded frame as uint8 (H, W, 3) RGB, turned as its display matrix says (in quarter turns; mirroring is not applied).

    It may be a view of memory that lives as long as the array: copy it before changing it.
    """
    # FFmpeg enlarges the colour planes of 8-bit pictures by repetition, whatever is asked; "POINT" does so for deeper ones too.
    image = _pixels(frame.reformat(format="rgb24", interpolation="POINT"))
    turns = round(frame.rotation / 90) % 4
    return np.rot90(image, turns) if turns else image


def shrink(image: Image, pixels: int) -> Image:
    """The image at no more than `pixels` pixels (0: as it is), same aspect ratio, averaged over areas; never enlarged."""
    height, width = image.shape[:2]
    if not 0 < pixels < height * width:
        return image
    import av

    scale = (pixels / (height * width)) ** 0.5
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return _pixels(frame.reformat(width=max(1, int(width * scale)), height=max(1, int(height * scale)), interpolation="AREA"))


def _pixels(frame: Any) -> Image:
    """The pixels of an rgb24 frame without a copy; its rows may be padded."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : 3 * frame.width].reshape(frame.height, frame.width, 3)


def reason(error: Exception) -> str:
    """What FFmpeg says went wrong, in a few words."""
    return getattr(error, "strerror", None) or str(error)
