"""How many requests may be under way: grows while latency and errors allow, falls by half when the server is overloaded."""

from __future__ import annotations

import asyncio
from collections import deque

_START = 8
# Latency is followed over a short and a long while; when the short one is that much higher, more requests only wait longer.
_TOLERANCE = 2.0
_SHORT, _LONG = 2 / 65, 2 / 1025
_BACK_OFF = 0.5


class ConcurrencyLimit:
    """A number of permits between 1 and `most` that adapts; for one event loop.

    As TCP does: doubling at first, after the first overload one more permit a round, half as many at each overload, at most once for the
    requests that were under way together. It does not grow while less than half of it is used, nor while latency has more than doubled.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(min(_START, most))
        self.in_use = 0
        self.back_offs = 0
        self._doubling = True
        self._sent = 0
        self._cut_at = 0
        self._short = self._long = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> int:
        """Waits for a permit; returns its number, by which its outcome is reported."""
        if self._waiting or self.in_use >= int(self.limit):
            mine = asyncio.get_running_loop().create_future()
            self._waiting.append(mine)
            try:
                await mine
            except asyncio.CancelledError:
                if mine.done() and not mine.cancelled():
                    self.in_use -= 1
                    self._wake()
                raise
        else:
            self.in_use += 1
        self._sent += 1
        return self._sent

    def release(self) -> None:
        """Gives a permit back."""
        self.in_use -= 1
        self._wake()

    def succeeded(self, seconds: float) -> None:
        """A request was answered after so many seconds; call it before `release`."""
        self._short += (seconds - self._short) * _SHORT if self._short else seconds
        self._long += (seconds - self._long) * _LONG if self._long else seconds
        # After a slow spell the long mean comes down quickly.
        self._long = min(self._long, 2 * self._short)
        if self.limit < self.most and 2 * self.in_use > self.limit and self._short <= _TOLERANCE * self._long:
            self.limit = min(self.most, self.limit + (1.0 if self._doubling else 1 / self.limit))

    def overloaded(self, permit: int) -> None:
        """The request with that permit was turned away, timed out or lost."""
        if permit > self._cut_at:
            self.limit = max(1.0, min(self.limit, self.in_use) * _BACK_OFF)
            self._cut_at, self._doubling = self._sent, False
            self.back_offs += 1

    def _wake(self) -> None:
        while self._waiting and self.in_use < int(self.limit):
            mine = self._waiting.popleft()
            if not mine.done():
                self.in_use += 1
                mine.set_result(None)
