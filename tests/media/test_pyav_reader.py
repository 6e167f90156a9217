"""The reader beside a decoder that goes through the file from its first frame, however it jumps, skips and shares out the work."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from vidground_core import Clip, MediaError
from vidground_core.media import FrameCache, load_clip, write_video
from vidground_core.media import pyav as pyav_module
from vidground_core.media.filmstrip import CORES, Filmstrip, cores
from vidground_core.media.pyav import scan
from vidground_core.media.pyav_reader import PyAVReader, _parts
from vidground_core.testing.media import counting_frames, counting_video

# Key frames far apart and close, pictures nobody refers to, none of them, groups that are open.
SHAPES = {
    "one group": {"bf": "3", "g": "250"},
    "short groups": {"bf": "2", "g": "12"},
    "open groups": {"bf": "3", "g": "15", "x264-params": "open-gop=1"},
    "keys only": {"bf": "0", "g": "1"},
    "no pyramid": {"bf": "5", "g": "60", "x264-params": "b-pyramid=none"},
}


def moving(count: int) -> np.ndarray:
    """Noise that moves, so that pictures hang on each other."""
    noise = np.random.default_rng(3).integers(0, 255, (12, 16 + count, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    return np.stack([noise[:, 4 * k : 4 * k + 64] for k in range(count)])


@pytest.fixture(scope="module", params=SHAPES)
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, moving(200), fps=25, options=SHAPES[request.param])
    with av.open(str(path)) as container:
        return path, np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_frames_are_those_of_going_through(film: tuple[Path, np.ndarray], threads: int) -> None:
    path, whole = film
    index = scan(str(path))
    draw = np.random.default_rng(threads)
    picks = [np.array([0]), np.array([199]), np.arange(200), np.arange(0, 200, 2), np.array([11, 12, 13, 198, 199])]
    picks += [np.sort(draw.choice(200, size, replace=False)) for size in (1, 2, 3, 8, 16, 50)]
    for pick in picks:
        assert np.array_equal(PyAVReader(index, threads=threads).read(pick), whole[pick]), pick


def test_pictures_nobody_refers_to_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "film.mp4"
    write_video(path, moving(100), fps=25, options=SHAPES["no pyramid"])
    index, decoded = scan(str(path)), []
    monkeypatch.setattr(PyAVReader, "_decode", _counted(PyAVReader._decode, decoded))
    PyAVReader(index).read(np.array([99]))
    assert len(decoded) < 30
    decoded.clear()
    PyAVReader(index).read(np.arange(100))
    assert len(decoded) == 100


def _counted(decode, decoded):  # type: ignore[no-untyped-def]
    def counted(self, *arguments, **options):  # type: ignore[no-untyped-def]
        for frame in decode(self, *arguments, **options):
            decoded.append(frame.pts)
            yield frame

    return counted


def test_far_frames_are_jumped_to_and_near_ones_are_not(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    write_video(path, moving(60), fps=10, options={"g": "10", "bf": "0"})
    reader = PyAVReader(scan(str(path)))
    stretches = reader._stretches(np.array([5, 8, 12, 35, 59]), [0, 1, 2, 3, 4])
    assert [(each.first, each.jump, list(each.places.values()), each.cost) for each in stretches] == [
        (0, False, [0, 1, 2], 13),
        (30, True, [3], 6),
        (50, True, [4], 10),
    ]
    assert [[each.first for each in part] for part in _parts(stretches, 2)] == [[0], [30, 50]]


def test_a_wrong_key_frame_index_still_gives_the_right_frames(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    write_video(path, moving(40), fps=10, options={"g": "40", "bf": "2"})
    index = scan(str(path))
    assert index.keys is not None
    assert index.stamps is not None
    wrong = pyav_module.Index(**{name: getattr(index, name) for name in index.__slots__} | {"keys": index.stamps[[0, 20]]})
    pick = np.array([3, 21, 39])
    assert np.array_equal(PyAVReader(wrong).read(pick), PyAVReader(index).read(pick))


def test_a_film_that_changes_its_size_is_set_aside(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate([(48, 64), (64, 96)]):
        write_video(
            tmp_path / f"{number}.h264", counting_frames(10, *size), fps=10, options={"crf": "5", "x264-params": "repeat-headers=1"}
        )
        parts.append((tmp_path / f"{number}.h264").read_bytes())
    path = tmp_path / "v.h264"
    path.write_bytes(b"".join(parts))
    with pytest.raises(MediaError) as error:
        load_clip(Clip(str(path), frames=4))
    assert str(error.value) == f"{str(path)!r} changes its size: the frames wanted are 64 × 48 and 96 × 64"


def test_a_strip_with_holes_is_not_given_out() -> None:
    strip = Filmstrip("v.mp4", 3, 0)
    strip.put(1, np.zeros((2, 2, 3), np.uint8))
    assert strip.missing() == [0, 2]
    with pytest.raises(RuntimeError, match="2 of 3 frames are missing"):
        _ = strip.array


def test_clips_decoded_at_once_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    with CORES.share() as alone:
        with CORES.share() as second, CORES.share() as third:
            assert (alone, second, third) == (6, 3, 2)
        with CORES.share() as again:
            assert again == 3


@pytest.mark.parametrize(("bound", "expected"), [("", 6), ("1", 1), ("4", 4), ("99", 6), ("0", 1), ("4,2", 6)])
def test_the_cores_are_bounded_by_the_environment(bound: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", bound)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    assert cores() == expected


def test_threads_read_one_file_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write_video(path, moving(120), fps=25, options=SHAPES["short groups"])
    expected = {frames: load_clip(Clip(str(path), frames=frames), cache=FrameCache(0)).array for frames in (3, 7, 16)}
    wrong: list[int] = []

    def work(frames: int) -> None:
        for _ in range(5):
            if not np.array_equal(load_clip(Clip(str(path), frames=frames), cache=FrameCache(0)).array, expected[frames]):
                wrong.append(frames)

    threads = [threading.Thread(target=work, args=(frames,)) for frames in (3, 7, 16, 3, 7, 16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_index_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path = counting_video(tmp_path / "v.mp4", count=20)
    first = scan(str(path))
    assert scan(str(path)) is first
    shutil.copy(counting_video(tmp_path / "longer.mp4", count=30), path)
    assert len(scan(str(path)).times) == 30
