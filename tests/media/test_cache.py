from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vidground_core.media import FrameCache, Frames


def frames(size: int, value: int = 0) -> Frames:
    return Frames(np.full((1, 1, size, 3), value, np.uint8), np.zeros(1), 0.0, "pyav")


def test_the_least_recently_used_goes_first() -> None:
    cache = FrameCache(max_bytes=9 * 3)
    for name in "abc":
        cache.put(name, frames(3))
    assert cache.get("a") is not None
    cache.put("d", frames(3))
    assert [name for name in "abcd" if cache.get(name) is not None] == ["a", "c", "d"]
    assert cache.bytes == 27


def test_a_clip_larger_than_the_cache_is_not_kept() -> None:
    cache = FrameCache(max_bytes=10)
    cache.put("small", frames(3))
    cache.put("large", frames(30))
    assert cache.get("large") is None
    assert cache.get("small") is not None


def test_replacing_an_entry_counts_its_bytes_once() -> None:
    cache = FrameCache(max_bytes=100)
    cache.put("a", frames(3))
    cache.put("a", frames(6))
    assert (cache.bytes, len(cache)) == (18, 1)
    cache.clear()
    assert (cache.bytes, len(cache)) == (0, 0)


def test_many_threads_keep_the_bound_and_get_what_they_put() -> None:
    cache = FrameCache(max_bytes=300)
    wrong: list[int] = []

    def work(seed: int) -> None:
        generator = np.random.default_rng(seed)
        for _ in range(500):
            key = int(generator.integers(40))
            found = cache.get(key)
            if found is None:
                cache.put(key, frames(1 + key % 7, key))
            elif int(found.array[0, 0, 0, 0]) != key:
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [found for key in range(40) if (found := cache.get(key)) is not None]
    assert not wrong
    assert cache.bytes == sum(found.array.nbytes for found in kept) <= 300


@pytest.mark.parametrize("max_bytes", [0, 10**6])
def test_threads_that_want_the_same_at_once_wait_for_one_that_makes_it(max_bytes: int) -> None:
    cache, made, begun, go = FrameCache(max_bytes), [], threading.Event(), threading.Event()

    def make() -> Frames:
        made.append(threading.get_ident())
        begun.set()
        assert go.wait(20)
        return frames(3)

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(cache.get_or_make, "a", make)
        assert begun.wait(20)
        others = [pool.submit(cache.get_or_make, "a", lambda: pytest.fail("made twice")) for _ in range(3)]
        while len(cache._making["a"]._condition._waiters) < len(others) and not any(other.done() for other in others):  # type: ignore[attr-defined]
            time.sleep(0.001)
        go.set()
        assert all(other.result(20) is first.result(20) for other in others)
    assert len(made) == 1


def test_an_error_is_told_and_not_kept() -> None:
    cache = FrameCache(100)

    def fail() -> Frames:
        raise ValueError("no picture")

    for _ in range(2):
        with pytest.raises(ValueError, match="no picture"):
            cache.get_or_make("a", fail)
    made = frames(3)
    assert cache.get_or_make("a", lambda: made) is made
    assert cache.get_or_make("a", fail) is made
