from __future__ import annotations

import threading

import numpy as np

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
