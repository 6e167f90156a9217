"""Decoding through `load_clip` beside the best plain code for decord and PyAV that gives the same frames, and out of the cache.

    python benchmarks/media.py [--data FOLDER] [--quick] [--json]

16 frames of generated 720p videos of 60 s (a key frame each 250 frames, and each 12), and of the real files of FOLDER (by default the
shared folder beside this checkout, where there is one). Ours begins cold each time: digest of the file, its index, decoding. Plain code is
told which frames to take, with their presentation times, and is the fastest of: decord's `get_batch`; PyAV with a seek to each frame;
PyAV through the file without a seek. Both take turns; the medians are compared: CPU seconds where each has one thread, seconds on the
clock where each may use all cores. The frames are compared too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import decord
import numpy as np
from numpy.typing import NDArray

from vidground_core import Clip, MediaError
from vidground_core.media import FrameCache, load_clip
from vidground_core.media import files as digests
from vidground_core.media.pyav import _scan, scan, shrink
from vidground_core.media.sampling import uniform

Pictures = NDArray[np.uint8]
SHARED = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "video"
FRAMES, PIXELS = 16, 448 * 448
decord.logging.set_level(decord.logging.QUIET)


def write_film(path: Path, gop: int, seconds: int) -> None:
    """A 720p film at 25 frames a second: a coarse pattern that moves, with B-frames, encoded as x264 does unless told otherwise."""
    draw = np.random.default_rng(0)
    pattern = draw.integers(0, 255, (60, 120, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    views = [np.ascontiguousarray(pattern[k : k + 720, 2 * k : 2 * k + 1280]) for k in range(200)]
    frames = [av.VideoFrame.from_ndarray(view, format="rgb24").reformat(format="yuv420p") for view in [*views, *views[::-1]]]
    with av.open(str(path), "w") as container:
        options = {"g": str(gop), "keyint_min": str(gop), "sc_threshold": "0", "preset": "veryfast"}
        stream = container.add_stream("libx264", rate=Fraction(25), options=options)
        stream.height, stream.width, stream.pix_fmt = 720, 1280, "yuv420p"
        for number in range(25 * seconds):
            frame = frames[number % len(frames)]
            frame.pts = number
            frame.time_base = Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def by_decord(path: Path, wanted: list[int], stamps: list[int], threads: int) -> Pictures:
    """Decord's own batch reading."""
    frames: Pictures = decord.VideoReader(str(path), num_threads=threads).get_batch(wanted).asnumpy()
    return frames


def by_seeks(path: Path, wanted: list[int], stamps: list[int], threads: int) -> Pictures:
    """PyAV: a seek to each frame, decoding on from the key frame before it."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.thread_type, stream.codec_context.thread_count = ("NONE", 1) if threads == 1 else ("AUTO", threads)
        for stamp in stamps:
            container.seek(stamp, stream=stream)
            found.append(next(frame for frame in container.decode(stream) if frame.pts is not None and frame.pts >= stamp))
        return np.stack([frame.to_ndarray(format="rgb24") for frame in found])


def through(path: Path, wanted: list[int], stamps: list[int], threads: int) -> Pictures:
    """PyAV: all frames decoded up to the last wanted one."""
    chosen = set(wanted)
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.thread_type, stream.codec_context.thread_count = ("NONE", 1) if threads == 1 else ("AUTO", threads)
        found = []
        for number, frame in enumerate(container.decode(stream)):
            if number in chosen:
                found.append(frame.to_ndarray(format="rgb24"))
            if len(found) == len(chosen):
                break
        return np.stack(found)


PLAIN = (by_decord, by_seeks, through)


def ours(path: Path, *, pixels: int = 0) -> Pictures:
    """`load_clip` with nothing remembered."""
    digests._DIGESTS.pop(next((key for key in digests._DIGESTS if key[0] == str(path)), ("", 0, 0)), None)
    _scan.cache_clear()
    return load_clip(Clip(str(path), frames=FRAMES, pixels=pixels), cache=FrameCache(0)).array


@contextmanager
def cores(one: bool) -> Iterator[int]:
    """One thread for each side, or all cores (0, which means all to both libraries)."""
    before = os.environ.pop("OMP_NUM_THREADS", None)
    if one:
        os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield int(one)
    finally:
        os.environ.pop("OMP_NUM_THREADS", None)
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def in_turn(calls: Sequence[Callable[[], object]], times: int, clock: Callable[[], float]) -> list[float]:
    """The median time of each call; they take turns, `times` times after one that is not counted."""
    taken: list[list[float]] = [[] for _ in calls]
    for turn in range(times + 1):
        for call, mine in zip(calls, taken, strict=True):
            begun = clock()
            call()
            if turn:
                mine.append(clock() - begun)
    return [statistics.median(mine) for mine in taken]


def plain_codes(path: Path, threads: int) -> tuple[list[Callable[[], Pictures]], Pictures]:
    """The plain codes that can read a file and give the right frames, and these: PyAV's without a seek."""
    index = scan(str(path))
    wanted = uniform(0, len(index.times), FRAMES)
    stamps = index.stamps[wanted].tolist() if index.stamps is not None else []
    right = through(path, wanted.tolist(), stamps, 1)
    codes: list[Callable[[], Pictures]] = []
    for code in PLAIN:
        call = partial(code, path, wanted.tolist(), stamps, threads)
        try:
            found = call()
        except Exception:
            continue  # this back-end cannot read this file: the others are the peers
        if np.array_equal(found, right):
            codes.append(call)
    return codes, right


def compare(name: str, path: Path, times: int, *, one: bool = True) -> dict[str, Any]:
    """One file: ours and the fastest plain code."""
    with cores(one) as threads:
        codes, right = plain_codes(path, threads)
        if not np.array_equal(ours(path), right):
            raise SystemExit(f"{path}: load_clip gives other frames than plain code")
        mine, *theirs = in_turn([partial(ours, path), *codes], times, time.process_time if one else time.perf_counter)
    return row(name, mine, min(theirs), "ms CPU" if one else "ms")


def row(what: str, mine: float, limit: float, unit: str, aim: float = 0.9) -> dict[str, Any]:
    """A row in milliseconds: the ratio is how many times as fast as the limit."""
    return {"what": what, "value": 1000 * mine, "unit": unit, "limit": 1000 * limit, "ratio": limit / mine, "aim": aim}


def shrunk(name: str, path: Path, times: int) -> dict[str, Any]:
    """Frames of at most PIXELS pixels, averaged over areas on both sides."""

    def plain(code: Callable[[], Pictures]) -> Pictures:
        return np.stack([shrink(frame, PIXELS) for frame in code()])

    with cores(True):
        codes, _ = plain_codes(path, 1)
        calls = [partial(ours, path, pixels=PIXELS), *(partial(plain, code) for code in codes)]
        mine, *theirs = in_turn(calls, times, time.process_time)
    return row(name, mine, min(theirs), "ms CPU")


def side_by_side(name: str, path: Path, times: int) -> dict[str, Any]:
    """As many clips at once as there are cores, each on one thread of plain code; ours shares the cores out itself."""
    width = len(os.sched_getaffinity(0))

    def many(call: Callable[[], object]) -> None:
        with ThreadPoolExecutor(width) as pool:
            for done in [pool.submit(call) for _ in range(2 * width)]:
                done.result()

    with cores(False):
        codes, _ = plain_codes(path, 1)
        mine, *theirs = in_turn([partial(many, each) for each in (partial(ours, path), *codes)], times, time.perf_counter)
    return row(name, mine / (2 * width), min(theirs) / (2 * width), "ms a clip")


def real_files(folder: Path, times: int) -> dict[str, Any]:
    """The sums over the real files that can be read with presentation times; the fastest plain code of each."""
    mine = theirs = 0.0
    count = 0
    with cores(True):
        for path in sorted(folder.glob("*/*")):
            try:
                if path.suffix not in (".mp4", ".mkv", ".mov", ".webm", ".avi"):
                    continue
                ours(path)
            except MediaError:
                continue
            codes, _ = plain_codes(path, 1)
            own, *plain = in_turn([partial(ours, path), *codes], times, time.process_time)
            mine, theirs, count = mine + own, theirs + min(plain), count + 1
    return row(f"{count} real files, one thread", mine, theirs, "ms CPU")


def cached(name: str, path: Path, view: str) -> dict[str, Any]:
    """A second load, beside the first one by the fastest plain code on all cores."""
    cache = FrameCache(2**30)
    clip = Clip(str(path), frames=FRAMES, view=view)  # type: ignore[arg-type]
    load_clip(clip, cache=cache)
    with cores(False):
        codes, _ = plain_codes(path, 0)
        plain = min(in_turn(codes, 3, time.perf_counter))
        (mine,) = in_turn([partial(load_clip, clip, cache=cache)], 20, time.perf_counter)
    return row(name, mine, plain, "ms", 10)


def measure(folder: Path, data: Path | None, *, quick: bool) -> list[dict[str, Any]]:
    """All rows; the films are written to `folder`."""
    seconds, times = (4, 1) if quick else (60, 5)
    rows = []
    for gop in (250, 12):
        film = folder / f"gop{gop}.mp4"
        write_film(film, gop, seconds)
        what = f"{FRAMES} frames of {seconds} s 720p, GOP {gop}"
        rows += [
            compare(f"{what}, one thread", film, times),
            compare(f"{what}, all cores", film, times, one=False),
            side_by_side(f"{what}, clips side by side", film, max(1, times // 2)),
            shrunk(f"{what}, to 448·448 pixels, one thread", film, times),
        ]
    if data is not None and data.is_dir():
        rows.append(real_files(data, times))
    return [*rows, cached("the same from the cache, GOP 12", film, "ordered"), cached("shuffled, from the cache, GOP 12", film, "shuffled")]


def main() -> None:
    """Prints the table, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), chosen.data, quick=chosen.quick)
    if chosen.json:
        print(json.dumps({"benchmark": "media", "rows": rows}))
        return
    print(f"{'':62}{'ours':>10}{'plain':>10}{'ratio':>8}{'aim':>6}")
    for each in rows:
        print(f"{each['what']:<62}{each['value']:>10.1f}{each['limit']:>10.1f}{each['ratio']:>8.2f}{each['aim']:>6}  {each['unit']}")


if __name__ == "__main__":
    main()
