"""Waits between attempts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vidground_core.engines.backoff import retry_after, wait_seconds

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "Fri, 02 Jan 2026 03:04:35 GMT"}, 30.0),
        ({"retry-after": "Fri, 02 Jan 2026 03:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


def test_the_wait_doubles_up_to_a_minute_with_full_jitter() -> None:
    assert [wait_seconds(attempt, random_01=1.0) for attempt in (1, 2, 3, 7, 8, 40)] == [0.5, 1, 2, 32, 60, 60]
    assert [wait_seconds(attempt, random_01=0.0) for attempt in (1, 40)] == [0, 0]
    assert all(0 <= wait_seconds(3) <= 2 for _ in range(50))


def test_it_is_never_shorter_than_the_server_asks_for() -> None:
    assert wait_seconds(1, 5.0, random_01=0.0) == 5
    assert wait_seconds(9, 5.0, random_01=1.0) == 6
