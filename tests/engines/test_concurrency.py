"""The adaptive limit, driven by hand: no clock."""

from __future__ import annotations

import asyncio

from vidground_core.engines.concurrency import ConcurrencyLimit


def run(limit: ConcurrencyLimit, *, rounds: int, capacity: int = 10**6, seconds: float = 0.05) -> list[int]:
    """Rounds in which as many as may be are sent; those beyond `capacity` are turned away. Returns how many were sent in each."""

    async def drive() -> list[int]:
        sent = []
        for _ in range(rounds):
            permits = [await limit.acquire() for _ in range(int(limit.limit) - limit.in_use)]
            sent.append(len(permits))
            for place, permit in enumerate(permits):
                if place < capacity:
                    limit.succeeded(seconds)
                else:
                    limit.overloaded(permit)
            for _ in permits:
                limit.release()
        return sent

    return asyncio.run(drive())


def test_it_doubles_up_to_its_most() -> None:
    assert run(ConcurrencyLimit(64), rounds=5) == [8, 16, 32, 64, 64]
    assert run(ConcurrencyLimit(3), rounds=2) == [3, 3]


def test_an_overload_halves_it_once_for_all_that_were_under_way_then_it_grows_by_one_a_round() -> None:
    limit = ConcurrencyLimit(64)
    sent = run(limit, rounds=8, capacity=20)
    assert sent == [8, 16, 32, 16, 16, 17, 18, 19]  # the 17th comes when a whole round has gone well
    assert limit.back_offs == 1
    assert max(run(limit, rounds=40, capacity=20)) == 21
    assert limit.back_offs > 1


def test_it_never_falls_below_one() -> None:
    limit = ConcurrencyLimit(64)
    assert run(limit, rounds=8, capacity=0)[-1] == 1


def test_it_does_not_grow_while_latency_has_more_than_doubled() -> None:
    limit = ConcurrencyLimit(64)
    run(limit, rounds=2)
    before = limit.limit
    run(limit, rounds=6, seconds=2.0)
    held = limit.limit
    assert held <= before + 3
    run(limit, rounds=400, seconds=0.05)
    assert limit.limit == 64


def test_it_does_not_grow_while_little_of_it_is_used() -> None:
    async def drive() -> float:
        limit = ConcurrencyLimit(64)
        for _ in range(100):
            await limit.acquire()
            limit.succeeded(0.05)
            limit.release()
        return limit.limit

    assert asyncio.run(drive()) == 8


def test_those_who_wait_come_in_order_and_one_that_leaves_takes_nothing_along() -> None:
    async def drive() -> list[str]:
        limit, came = ConcurrencyLimit(1), list[str]()

        async def enter(name: str) -> None:
            await limit.acquire()
            came.append(name)

        await limit.acquire()
        tasks = [asyncio.create_task(enter(name)) for name in "abc"]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        limit.release()
        await asyncio.sleep(0)
        assert came == ["b"]
        limit.release()
        await asyncio.gather(*tasks, return_exceptions=True)
        return came

    assert asyncio.run(drive()) == ["b", "c"]


def test_a_permit_that_comes_to_one_just_cancelled_goes_on_to_the_next() -> None:
    async def drive() -> int:
        limit = ConcurrencyLimit(1)
        await limit.acquire()
        first, second = asyncio.create_task(limit.acquire()), asyncio.create_task(limit.acquire())
        await asyncio.sleep(0)
        limit.release()
        first.cancel()
        await asyncio.wait({second}, timeout=5)
        assert second.done()
        return limit.in_use

    assert asyncio.run(drive()) == 1
