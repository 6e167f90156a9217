from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from vidground_core import Clip, MediaError
from vidground_core.media import FrameCache, load_clip, write_video
from vidground_core.media.decoding import DecordReader
from vidground_core.media.pyav import scan
from vidground_core.testing.media import counting_frames, frame_number


def shown(path: Path, **options: object) -> list[int]:
    return [frame_number(frame) for frame in load_clip(Clip(str(path), **options), cache=FrameCache(0)).array]  # type: ignore[arg-type]


def test_ordered_frames_are_those_of_the_rule(video: Path) -> None:
    frames = load_clip(Clip(str(video), frames=8))
    assert [frame_number(frame) for frame in frames.array] == [2, 7, 12, 17, 22, 27, 32, 37]
    assert frames.array.shape == (8, 48, 64, 3)
    assert frames.array.dtype == np.uint8
    assert frames.seconds == pytest.approx([0.2, 0.7, 1.2, 1.7, 2.2, 2.7, 3.2, 3.7], abs=1e-6)
    assert frames.fps == pytest.approx(2.0)
    assert frames.decoder == "pyav"


def test_rate_and_span(video: Path) -> None:
    assert shown(video, frames=0, fps=2.0) == [2, 7, 12, 17, 22, 27, 32, 37]
    assert shown(video, frames=0, fps=1.0, start=2.0) == [25, 35]
    assert shown(video, frames=3, start=1.0, end=1.3) == [10, 11, 12]


def test_views(video: Path) -> None:
    ordered = shown(video, frames=6)
    assert shown(video, frames=6, view="reversed") == ordered[::-1]
    shuffled = shown(video, frames=6, view="shuffled", seed=1)
    assert shuffled != ordered
    assert sorted(shuffled) == ordered
    assert shown(video, frames=6, view="single") == [20]
    blank = load_clip(Clip(str(video), frames=6, view="blank"))
    assert blank.array.shape == (6, 48, 64, 3)
    assert not blank.array.any()


def test_seconds_always_increase(video: Path) -> None:
    seconds = load_clip(Clip(str(video), frames=6)).seconds
    for view in ("shuffled", "reversed", "blank"):
        assert load_clip(Clip(str(video), frames=6, view=view)).seconds.tolist() == seconds.tolist()


def test_views_share_one_decoded_copy(video: Path) -> None:
    cache = FrameCache(10**8)
    clip = Clip(str(video), frames=8)
    first = load_clip(clip, cache=cache)
    for view in ("shuffled", "reversed", "blank"):
        load_clip(Clip(str(video), frames=8, view=view, seed=3), cache=cache)
    assert len(cache) == 1
    assert load_clip(clip, cache=cache) is first
    load_clip(Clip(str(video), frames=8, view="single"), cache=cache)
    assert len(cache) == 2


def test_the_cache_goes_by_content(video: Path, tmp_path: Path) -> None:
    cache = FrameCache(10**8)
    moved = tmp_path / "moved.mp4"
    moved.write_bytes(video.read_bytes())
    assert load_clip(Clip(str(video)), cache=cache) is load_clip(Clip(str(moved)), cache=cache)


def test_cached_frames_cannot_be_changed(video: Path) -> None:
    for view in ("ordered", "reversed", "blank"):
        with pytest.raises(ValueError, match="read-only"):
            load_clip(Clip(str(video), view=view)).array[0, 0, 0, 0] = 1


def test_pixels_bounds_a_frame_and_never_enlarges(video: Path) -> None:
    small = load_clip(Clip(str(video), frames=2, pixels=300)).array
    assert small.shape == (2, 15, 20, 3)
    assert [frame_number(frame) for frame in small] == [10, 30]
    assert load_clip(Clip(str(video), frames=2, pixels=10**6)).array.shape == (2, 48, 64, 3)
    assert load_clip(Clip(str(video), frames=2, pixels=1)).array.shape == (2, 1, 1, 3)


@pytest.mark.parametrize("size", [(34, 50), (56, 56), (2, 2), (90, 162)])
def test_odd_sizes(size: tuple[int, int], tmp_path: Path) -> None:
    write_video(
        tmp_path / "v.mp4",
        counting_frames(12, *size) if min(size) > 8 else np.full((12, *size, 3), 50, np.uint8),
        fps=5,
        options={"crf": "5"},
    )
    array = load_clip(Clip(str(tmp_path / "v.mp4"), frames=4)).array
    assert array.shape == (4, *size, 3)
    expected = [1, 4, 7, 10] if min(size) > 8 else [10] * 4
    assert [frame_number(frame) for frame in array] == expected


def test_open_groups_of_pictures_go_to_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VG_DECODER", "decord")
    path = tmp_path / "v.mp4"
    write_video(path, counting_frames(45), fps=12.5, options={"crf": "5", "bf": "3", "g": "10", "x264-params": "open-gop=1"})
    index = scan(str(path))
    assert [frame_number(frame) for frame in DecordReader(index).read(np.array([11]))] == [12], "decord finds them now"
    for count in (2, 5, 8, 13, 45):
        assert shown(path, frames=count) == [int((k + 0.5) * 45 / count) for k in range(count)]
    assert load_clip(Clip(str(path))).decoder == "pyav"


@pytest.mark.parametrize("options", [{"bf": "3", "g": "250"}, {"bf": "3", "g": "10"}, {"bf": "0", "g": "1"}])
@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_both_decoders_find_the_frames_of_h264_exactly(
    options: dict[str, str], decoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VG_DECODER", decoder)
    path = tmp_path / "v.mp4"
    write_video(path, counting_frames(45), fps=12.5, options={"crf": "5", **options})
    for count in (2, 5, 8, 13, 45):
        assert shown(path, frames=count) == [int((k + 0.5) * 45 / count) for k in range(count)]
    assert load_clip(Clip(str(path)), cache=FrameCache(0)).decoder == decoder


def test_an_image_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "i.png"
    frame = counting_frames(21)[20]
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    for view in ("ordered", "shuffled", "single"):
        image = load_clip(Clip(str(path), type="image", view=view))
        assert np.array_equal(image.array, frame[np.newaxis])
        assert (image.fps, image.seconds.tolist()) == (0.0, [0.0])
    assert load_clip(Clip(str(path), type="image", pixels=300)).array.shape == (1, 15, 20, 3)
    assert not load_clip(Clip(str(path), type="image", view="blank")).array.any()


def test_text_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_text("not a video")
    for kind in ("video", "image"):
        with pytest.raises(MediaError) as error:
            load_clip(Clip(str(path), type=kind))
        assert str(error.value) == f"{str(path)!r} cannot be opened as a video or image: Invalid data found when processing input"


def test_sound_alone(tmp_path: Path) -> None:
    path = tmp_path / "v.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(MediaError) as error:
        load_clip(Clip(str(path)))
    assert str(error.value) == f"{str(path)!r} has no picture stream; its streams: audio"


def test_a_file_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    noise = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), np.uint8)
    write_video(path, noise, fps=10, options={"crf": "20", "g": "10"})
    whole = path.read_bytes()
    assert load_clip(Clip(str(path), frames=4)).array.shape[0] == 4
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MediaError, match=r"is cut short: its header says 6\.0 s, its frames end at [23]\.\d s"):
        load_clip(Clip(str(path), frames=4))
    mp4 = tmp_path / "v.mp4"
    write_video(mp4, noise, fps=10, options={"crf": "20"})
    mp4.write_bytes(mp4.read_bytes()[:-3000])
    with pytest.raises(MediaError, match="cannot be opened as a video or image: Invalid data found"):
        load_clip(Clip(str(mp4), frames=4))


def test_importing_media_imports_no_decoder() -> None:
    program = (
        "import sys, vidground_core.media as media; media.load_clip; media.resolve; print({'av', 'decord', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "set()"


def test_a_photograph_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "turned.jpg"
    pixels = np.zeros((40, 64, 3), np.uint8)
    pixels[:20, :32] = 255
    orientation = image.Exif()
    orientation[0x0112] = 6
    image.fromarray(pixels).save(path, exif=orientation, quality=95)
    (turned,) = load_clip(Clip(str(path), type="image")).array
    assert np.abs(turned.astype(int) - np.rot90(pixels, 3)).mean() < 2


def test_of_two_streams_the_one_that_ffmpeg_calls_best(tmp_path: Path) -> None:
    path = tmp_path / "two.mp4"
    quiet, loud = counting_frames(20), np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8)
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=10, options={"crf": "5"}) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for pictures in zip(quiet, loud, strict=True):
            for stream, picture in zip(streams, pictures, strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert container.streams.best("video").index == 0
    other = next(iter(DecordReader(scan(str(path))).read(np.array([10]))))
    assert other.std() > 30, "decord takes the best stream now: several streams need not go to PyAV"
    assert shown(path, frames=4) == [2, 7, 12, 17]


@pytest.mark.parametrize(
    ("name", "mode", "off"),
    [
        ("i.png", "RGB", 0),
        ("i.png", "RGBA", 0),
        ("i.png", "LA", 0),
        ("i.png", "P", 0),
        ("i.png", "1", 0),
        ("i.gif", "P", 0),
        ("i.bmp", "RGB", 0),
        ("i.jpg", "L", 0.5),
        ("i.jpg", "RGB", 2),
        ("i.webp", "RGB", 2),
    ],
)
def test_images_are_what_another_library_reads(name: str, mode: str, off: float, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    rows, columns = np.mgrid[0:60, 0:80]
    picture = np.stack([columns * 3, rows * 4, 255 - columns], -1).clip(0, 255).astype(np.uint8)
    image.fromarray(picture).convert(mode).save(tmp_path / name)
    (read,) = load_clip(Clip(str(tmp_path / name), type="image")).array
    with image.open(tmp_path / name) as reference:
        difference = np.abs(read.astype(int) - np.asarray(reference.convert("RGB")))
    # JPEG and WebP store colour at half the size, which the libraries enlarge by different filters.
    assert difference.mean() <= off
