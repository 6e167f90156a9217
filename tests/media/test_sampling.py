from __future__ import annotations

import numpy as np
import pytest

from vidground_core import Clip, MediaError
from vidground_core.media.sampling import arrange, choose, duration, uniform

TENTHS = np.arange(40) / 10


def clip(**options: object) -> Clip:
    return Clip("v.mp4", digest="ab" * 32, **options)  # type: ignore[arg-type]


def indices(times: np.ndarray, **options: object) -> list[int]:
    return choose(clip(**options), times, duration(times, 10))[0].tolist()


@pytest.mark.parametrize(("total", "count"), [(40, 8), (10, 8), (17, 4), (100, 1), (9, 9), (263_071, 32)])
def test_uniform_takes_the_middles_of_equal_parts(total: int, count: int) -> None:
    assert uniform(0, total, count).tolist() == [int((k + 0.5) * total / count) for k in range(count)]


def test_a_short_video_gives_every_frame_once() -> None:
    assert uniform(3, 6, 8).tolist() == [3, 4, 5]


def test_count_over_the_whole_video_and_over_a_span() -> None:
    assert indices(TENTHS, frames=4) == [5, 15, 25, 35]
    assert indices(TENTHS, frames=2, start=1.0, end=2.0) == [12, 17]
    assert indices(TENTHS, frames=100, start=3.8) == [38, 39]


def test_rate_takes_the_frame_on_screen_at_each_instant() -> None:
    assert indices(TENTHS, frames=0, fps=1) == [5, 15, 25, 35]
    assert indices(TENTHS, frames=0, fps=0.1) == [39]
    uneven = np.array([0.0, 0.1, 0.2, 2.4, 3.0])
    assert indices(uneven, frames=0, fps=1) == [2, 3]


def test_a_rate_above_the_videos_own_gives_every_frame_once() -> None:
    assert indices(TENTHS, frames=0, fps=60) == list(range(40))


def test_sampled_frames_per_second_of_source_time() -> None:
    assert choose(clip(frames=8), TENTHS, 4.0)[1] == pytest.approx(2.0)
    assert choose(clip(frames=8, start=1, end=2), TENTHS, 4.0)[1] == pytest.approx(8.0)
    assert choose(clip(frames=100), TENTHS, 4.0)[1] == pytest.approx(10.0)


def test_a_span_between_two_frames_shows_the_frame_on_screen() -> None:
    seconds = np.array([0.0, 1.0, 2.0])
    assert indices(seconds, frames=4, start=1.2, end=1.7) == [1]


def test_times_rounded_to_float32_stay_in_their_span() -> None:
    rounded = TENTHS.astype(np.float32).astype(np.float64)
    for first in range(40):
        assert indices(rounded, frames=1, start=first / 10, end=(first + 1) / 10) == [first]


def test_single_is_the_middle_frame_whatever_the_count() -> None:
    assert indices(TENTHS, frames=8, view="single") == [20]
    assert indices(TENTHS, frames=0, fps=2, view="single") == [20]


def test_single_with_a_seed_is_that_one_of_the_uniform_frames() -> None:
    uniform = indices(TENTHS, frames=4)
    assert [indices(TENTHS, frames=4, view="single", seed=k)[0] for k in (1, 2, 3, 4)] == uniform
    assert indices(TENTHS[:2], frames=4, view="single", seed=4) == [1]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"start": 2.0, "end": 1.0}, "'v.mp4': the span 2 s to 1 s is empty"),
        ({"start": 9.0}, "'v.mp4': the span begins at 9 s, but the video lasts 4 s"),
        ({"frames": 0}, "'v.mp4': frames = 0 and fps = 0.0: one of them must be more than 0"),
    ],
)
def test_impossible_clips(options: dict[str, object], text: str) -> None:
    with pytest.raises(MediaError) as error:
        choose(clip(**options), TENTHS, 4.0)
    assert str(error.value) == text


def test_shuffled_is_never_the_right_order_and_hangs_on_seed_and_content() -> None:
    for count in (2, 3, 8):
        for seed in range(50):
            order = arrange(count, clip(view="shuffled", seed=seed))
            assert sorted(order) == list(range(count))
            assert order.tolist() != list(range(count))
    eight = [tuple(arrange(8, clip(view="shuffled", seed=seed))) for seed in range(20)]
    assert len(set(eight)) > 15
    assert eight[3] == tuple(arrange(8, clip(view="shuffled", seed=3)))
    other = Clip("v.mp4", digest="cd" * 32, view="shuffled", seed=3)
    assert tuple(arrange(8, other)) != eight[3]


def test_the_shuffle_is_the_same_on_every_machine() -> None:
    assert arrange(8, clip(view="shuffled", seed=7)).tolist() == [1, 6, 7, 2, 4, 5, 0, 3]


def test_one_frame_cannot_be_shuffled() -> None:
    assert arrange(1, clip(view="shuffled")).tolist() == [0]


def test_reversed() -> None:
    assert arrange(4, clip(view="reversed")).tolist() == [3, 2, 1, 0]
