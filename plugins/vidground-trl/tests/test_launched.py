from __future__ import annotations

import os

import pytest
from vidground_trl.launched import MOST_THREADS, rank, started, threads, waited_for


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "OMP_NUM_THREADS", "VIDGROUND_THREADS"):
        monkeypatch.delenv(name, raising=False)


def test_one_process_without_a_launcher_is_the_first_of_one() -> None:
    assert (rank(), started()) == (0, 1)


def test_what_a_launcher_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert (rank(), started()) == (3, 8)


def test_all_processors_decode_where_torchrun_allows_each_process_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    assert threads() == 12
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads() == 12
    monkeypatch.setenv("VIDGROUND_THREADS", "3")
    assert threads() == 3


def test_a_user_is_heard_and_there_are_never_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(200)), raising=False)
    assert threads() == MOST_THREADS
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert threads() == MOST_THREADS


def test_something_is_waited_for() -> None:
    found = iter((None, None, 7))
    assert waited_for(lambda: next(found), every=0.001) == 7
