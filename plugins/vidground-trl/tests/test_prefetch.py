"""Clips made ready in threads: which, how many, what becomes of errors, and that nothing is left running."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoProcessor
from vidground_trl.booking import MediaStore
from vidground_trl.prefetch import Prefetcher
from vidground_trl.store import Encoded, key_of

from vidground_core import Clip, MediaError
from vidground_core.media import resolve

SIZE = 40


def clips(count: int) -> dict[Any, Clip]:
    return {(name,): Clip(name) for name in map(str, range(count))}


def made(clip: Clip) -> Encoded:
    return Encoded(0, "video", torch.full((SIZE // 4, 1), float(clip.path)), torch.tensor([1, 1, 1]), [], None)


class Gate:
    """Work that waits until it is let through, one clip at a time; `begun` lists what was begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.through = threading.Semaphore(0)
        self._begins = threading.Semaphore(0)

    def __call__(self, clip: Clip) -> Encoded:
        self.begun.append(clip.path)
        self._begins.release()
        self.through.acquire()
        return made(clip)

    def wait(self, count: int = 1) -> None:
        for _ in range(count):
            assert self._begins.acquire(timeout=30)


@pytest.fixture
def prefetcher() -> Iterator[Callable[..., Prefetcher]]:
    begun: list[Prefetcher] = []

    def start(work: Callable[[Clip], Encoded], *, threads: int = 1, max_bytes: int = 1000) -> Prefetcher:
        begun.append(Prefetcher(work, threads=threads, max_bytes=max_bytes))
        return begun[-1]

    yield start
    for each in begun:
        each.close()


def ready(each: Prefetcher, count: int) -> None:
    """Waits until that many results are there."""
    done = threading.Event()
    for _ in range(3000):
        if each.held == count * SIZE:
            return
        done.wait(0.01)
    raise AssertionError(f"{each.held} bytes are ready, not {count * SIZE}")


def test_what_is_expected_is_made_in_order_and_taken_once(prefetcher: Any) -> None:
    order: list[str] = []
    each = prefetcher(lambda clip: order.append(clip.path) or made(clip))
    each.expect(clips(3))
    ready(each, 3)
    assert order == ["0", "1", "2"]
    assert each.take(("1",)).patches[0] == 1
    assert each.take(("1",)) is None
    assert each.held == 2 * SIZE


def test_a_clip_in_work_is_waited_for_and_one_not_begun_is_left_to_the_caller(prefetcher: Any) -> None:
    gate = Gate()
    each = prefetcher(gate)
    each.expect(clips(3))
    gate.wait()
    assert each.take(("2",)) is None
    gate.through.release(3)
    assert each.take(("0",)).patches[0] == 0
    ready(each, 1)
    assert gate.begun == ["0", "1"]


def test_results_that_wait_stay_within_the_limit(prefetcher: Any) -> None:
    each = prefetcher(made, max_bytes=3 * SIZE + 1)
    each.expect(clips(9))
    ready(each, 3)
    assert each.take(("0",)) is not None
    ready(each, 3)
    assert each.take(("4",)) is None
    small = prefetcher(made, max_bytes=1)
    small.expect(clips(9))
    ready(small, 1)


def test_what_is_no_longer_expected_is_dropped(prefetcher: Any) -> None:
    each = prefetcher(made)
    each.expect(clips(4))
    ready(each, 4)
    each.expect({("3",): Clip("3")})
    assert each.held == SIZE
    assert each.take(("0",)) is None


def test_an_error_is_raised_where_the_clip_is_taken(prefetcher: Any) -> None:
    def broken(clip: Clip) -> Encoded:
        if clip.path == "0":
            raise MediaError("'0' does not decode")
        return made(clip)

    each = prefetcher(broken)
    each.expect(clips(2))
    ready(each, 1)
    with pytest.raises(MediaError, match="'0' does not decode"):
        each.take(("0",))
    assert each.take(("1",)) is not None


def test_closing_ends_the_threads_and_begins_nothing_more() -> None:
    gate = Gate()
    each = Prefetcher(gate, threads=2, max_bytes=1000)
    each.expect(clips(6))
    gate.wait(2)
    gate.through.release(6)
    each.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]
    count = len(gate.begun)
    each.expect(clips(6))
    assert len(gate.begun) == count


def store(folder: Path, **options: Any) -> MediaStore:
    return MediaStore(AutoProcessor.from_pretrained(folder), **options)


@pytest.mark.parametrize("video", ["native", "images"])
def test_the_store_gives_the_same_clips_with_and_without(video: Any, tiny: Callable[[str], Path], videos: list[Path]) -> None:
    shown = [resolve(Clip(str(path), frames=4)) for path in videos]
    shown += [replace(each, view="shuffled", seed=5) for each in shown]
    plain, other = (store(tiny("qwen3_vl"), video=video) for _ in range(2))
    plain.hold(shown)
    with other.prefetching(3):
        other.expect(shown)
        other.hold(shown)
    for each in shown:
        ours, theirs = other.find(each), plain.find(each)
        assert (ours.number, ours.tokens, ours.times) == (theirs.number, theirs.tokens, theirs.times)
        assert torch.equal(ours.patches, theirs.patches)


def test_an_expected_clip_is_not_processed_by_the_caller(
    tiny: Callable[[str], Path], videos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = [resolve(Clip(str(path), frames=4)) for path in videos[:3]]
    held = store(tiny("qwen2_5_vl"))
    with held.prefetching(1):
        held.expect(shown)
        assert held._prefetcher is not None
        while not all(future.done() for future in held._prefetcher._started.values()) or len(held._prefetcher._started) < 3:
            threading.Event().wait(0.01)
        monkeypatch.setattr(held, "_encode", None)
        held.hold(shown)
        held.expect(shown)
        assert not held._prefetcher._waiting
    assert held.processed == 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_what_is_expected_and_at_hand_is_forgotten_last(tiny: Callable[[str], Path], videos: list[Path]) -> None:
    first, second, third = (resolve(Clip(str(path), frames=4)) for path in videos[:3])
    held = store(tiny("qwen2_5_vl"))
    held.hold([first, second])
    held._max_bytes = 2 * held.find(first).size
    with held.prefetching(1):
        held.expect([first])
        held.hold([third])
    assert held.find(first).number == 0
    with pytest.raises(KeyError):
        held.find(second)


def test_the_key_tells_views_apart(videos: list[Path]) -> None:
    each = Clip(str(videos[0]))
    assert key_of(each) != key_of(replace(each, view="shuffled")) != key_of(replace(each, view="shuffled", seed=1))
