"""Which asks a worker's death is counted against: simulated, for every place of one or two asks that kill their worker."""

from __future__ import annotations

from collections import Counter

import pytest
from vidground_ray.backlog import Backlog, Item

from vidground_core import Ask, Reply


def item(number: int) -> Item:
    def settle(reply: Reply) -> None:
        raise AssertionError(f"{number} was settled by the backlog itself: {reply}")

    return Item(number, Ask((("user", (str(number),)),)), settle)


def work(backlog: Backlog, poison: set[int], window: int) -> tuple[Counter[int], list[int], int]:
    """Workers that hold `window` asks and die on poison before they answer any; how often each ask was asked, the failed, the deaths."""
    asked, failed, deaths = Counter[int](), list[int](), 0
    while held := backlog.suspects() or backlog.take(window):
        asked.update(one.number for one in held)
        if poison & {one.number for one in held}:
            deaths += 1
            failed += [one.number for one in backlog.bury(held)]
    return asked, failed, deaths


@pytest.mark.parametrize("window", [1, 2, 16, 100])
@pytest.mark.parametrize("attempts", [2, 3, 4])
def test_only_the_ask_that_kills_its_worker_fails_wherever_it_stands(attempts: int, window: int) -> None:
    for place in range(100):
        backlog = Backlog(attempts)
        for number in range(100):
            backlog.add(item(number))
        asked, failed, deaths = work(backlog, {place}, window)
        assert failed == [place]
        assert set(asked) == set(range(100))
        assert max(asked.values()) == asked[place] == deaths == attempts


def test_two_of_them_in_one_window() -> None:
    for other in range(1, 256, 7):
        backlog = Backlog(3)
        for number in range(256):
            backlog.add(item(number))
        asked, failed, deaths = work(backlog, {0, other}, 256)
        assert sorted(failed) == [0, other]
        assert max(asked.values()) == 3
        assert deaths == (4 if other < 16 else 5)


def test_groups_shrink_to_one() -> None:
    backlog = Backlog(3)
    for number in range(256):
        backlog.add(item(number))
    backlog.bury(backlog.take(256))
    first = backlog.suspects()
    assert len(first) == 16
    backlog.bury(first)
    sizes = []
    while group := backlog.suspects():
        sizes.append(len(group))
    assert sizes == [16] * 15 + [1] * 16


def test_what_is_given_back_comes_first_and_keeps_its_deaths() -> None:
    backlog = Backlog(3)
    for number in range(6):
        backlog.add(item(number))
    backlog.give_back(backlog.take(2))
    assert [one.number for one in backlog.take(3)] == [0, 1, 2]
    backlog.bury(backlog.take(3))
    group = backlog.suspects()
    backlog.give_back(group)
    assert backlog.suspects() == group
    assert [one.deaths for one in group] == [1, 1]


def test_its_length_counts_fresh_asks_and_suspects() -> None:
    backlog = Backlog(3)
    for number in range(5):
        backlog.add(item(number))
    backlog.bury(backlog.take(4))
    assert (len(backlog), backlog.fresh) == (5, 1)
    backlog.clear()
    assert len(backlog) == 0
