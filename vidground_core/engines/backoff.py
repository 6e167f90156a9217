"""How long to wait before another attempt: exponential with full jitter, and never less than the server asks for.

Source of the jitter: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_FIRST, _MOST = 0.5, 60.0


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The seconds that a response's Retry-After asks to wait (a number, or an HTTP date); None where it does not say, or says nonsense."""
    milliseconds, value = headers.get("retry-after-ms", ""), headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(milliseconds) / 1000)
    except ValueError:
        pass
    try:
        seconds = float(value)
    except ValueError:
        seconds = _until(value, now or datetime.now(UTC))
    return seconds if 0 <= seconds < float("inf") else None


def _until(date: str, now: datetime) -> float:
    try:
        then = parsedate_to_datetime(date)
    except ValueError:
        return -1.0
    seconds = (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    return max(0.0, seconds)


def wait_seconds(attempt: int, asked: float | None = None, random_01: float | None = None) -> float:
    """The wait after attempt 1, 2, …: between 0 and 0.5·2^(attempt-1) seconds, 60 at most; on top of what the server asks for."""
    drawn = random.random() if random_01 is None else random_01  # noqa: S311
    jittered = drawn * min(_MOST, math.ldexp(_FIRST, attempt - 1))
    # Those told to come back at one moment shall not all do so.
    return jittered if asked is None else asked + min(jittered, 1.0)
