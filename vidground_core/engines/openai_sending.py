"""One ask to an OpenAI-compatible server: attempts, waits and deadlines; and when a server that only refuses is given up."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from vidground_core.engines.backoff import retry_after, wait_seconds
from vidground_core.engines.concurrency import ConcurrencyLimit
from vidground_core.engines.openai_config import OpenAIConfig, address
from vidground_core.engines.openai_scores import FinalError, MalformedError
from vidground_core.engines.openai_transport import NO_KEY, NoResponseError, Response, Transport
from vidground_core.engines.openai_wire import error_text, read_reply, usage_of
from vidground_core.errors import EngineError, MediaError
from vidground_core.records import Ask, Reply

# So many asks in a row that the server failed, none answered between: it answers nobody.
MOST_IN_A_ROW = 64
_BUSY = frozenset({408, 409, 425, 429})
# Nobody is let in: another ask would fare no better.
_SHUT = frozenset({401, 403, 404})
_SECRET = re.compile(r"\b(?:sk|pk|key)-[\w*-]{6,}|(?<=Bearer )\S+")
_FIRST_CONNECTIONS = 3


class StoppedSending(Exception):
    """The server was given up while this ask waited; it has no reply."""


@dataclass(frozen=True, slots=True)
class _Again:
    """An attempt of so many seconds that failed and may be made again, not before `wait` seconds where the server says so."""

    reason: str
    seconds: float = 0.0
    wait: float | None = None
    unreachable: bool = False


class Sender:
    """Sends asks until each has a reply, for one event loop. `content` makes an ask's body; `key` is masked in every text.

    Raises EngineError where the server is given up: it knows neither key nor model, cannot be reached, failed `MOST_IN_A_ROW` asks one
    after the other, or refused that many before it ever answered one.
    """

    def __init__(
        self, config: OpenAIConfig, transport: Transport, limit: ConcurrencyLimit, content: Callable[[Ask], Awaitable[bytes]], *, key: str
    ) -> None:
        self.limit = limit
        self.answers = 0
        self._config, self._transport, self._content, self._key = config, transport, content, key
        self._failed_in_a_row = self._refused = 0
        self._stopped = False
        self._sleepers: set[asyncio.Future[None]] = set()

    def stop(self) -> None:
        """No more attempts: waits end, what is under way still comes back."""
        self._stopped = True
        for sleeper in self._sleepers:
            _wake(sleeper)

    async def reply(self, ask: Ask) -> Reply:
        """The ask's reply; failed, with the reason, where no attempt gave one. Raises EngineError, and StoppedSending after `stop`."""
        try:
            content = await self._content(ask)
        except (MediaError, FinalError) as error:
            return Reply("failed", error=str(error))
        reply = await self._attempts(ask, content)
        if reply.status == "answered":
            self.answers += 1
            self._failed_in_a_row = 0
        elif self._failed_in_a_row >= MOST_IN_A_ROW or (not self.answers and self._refused >= MOST_IN_A_ROW):
            raise self._dead(f"failed {MOST_IN_A_ROW} asks one after the other; the last: {reply.error}", "see what it logs")
        return reply

    async def _attempts(self, ask: Ask, content: bytes) -> Reply:
        answers, spent, unreachable = self.answers, 0.0, 0
        last = _Again("no attempt was made")
        for attempt in range(1, self._config.attempts + 1):
            outcome = await self._attempt(ask, content, self._config.deadline - spent)
            if isinstance(outcome, Reply):
                return outcome
            last = outcome
            unreachable += outcome.unreachable
            if unreachable == attempt and answers == self.answers and attempt >= self._connections():
                raise self._dead(f"cannot be reached: {last.reason}", "check the address, and that the server runs")
            if attempt == self._config.attempts:
                break
            wait = wait_seconds(attempt, outcome.wait)
            spent += outcome.seconds + wait
            if spent >= self._config.deadline:
                asked = f", to be asked again in {outcome.wait:.3g} s" if outcome.wait else ""
                return self._failed(f"{last.reason}{asked}; its deadline of {self._config.deadline:g} s is over after attempt {attempt}")
            await self._sleep(wait)
        return self._failed(f"{last.reason} (attempt {self._config.attempts} of {self._config.attempts})")

    def _connections(self) -> int:
        """A server that has never answered is given up sooner."""
        return self._config.attempts if self.answers else min(_FIRST_CONNECTIONS, self._config.attempts)

    async def _attempt(self, ask: Ask, content: bytes, left: float) -> Reply | _Again:
        """One request, at most `left` seconds long. Waiting for its turn among others is not counted: their number is ours to choose."""
        clock = asyncio.get_running_loop().time
        permit = await self.limit.acquire()
        try:
            if self._stopped:
                raise StoppedSending
            began = clock()
            try:
                response = await self._transport.send(content, min(self._config.timeout, left))
            except NoResponseError as error:
                self.limit.overloaded(permit)
                return _Again(self.masked(str(error)), clock() - began, unreachable=error.kind == "unreachable")
            seconds = clock() - began
            if response.status in _BUSY or response.status >= 500:
                self.limit.overloaded(permit)
            else:
                self.limit.succeeded(seconds)
            return self._read(ask, response, seconds)
        finally:
            self.limit.release()

    def _read(self, ask: Ask, response: Response, seconds: float) -> Reply | _Again:
        try:
            body = json.loads(response.body)
        except (ValueError, RecursionError):
            body = None
        if response.status == 200:
            try:
                if body is None:
                    raise MalformedError(f"the response is no JSON: {response.body[:80]!r}")
                return read_reply(body, ask, self._config)
            except MalformedError as error:
                return _Again(self.masked(str(error)), seconds)
            except FinalError as error:
                return self._refusal(self.masked(str(error)), usage_of(body))
        said = self.masked(error_text(body) or response.body[:200].decode("utf-8", "replace"))
        reason = f"the server answered {response.status}: {said or 'nothing more'}"
        if self._shuts_out(response.status, body):
            raise self._dead(
                f"answered {response.status} to the model {self._config.model!r}: {said}",
                f"check the model's name, the address, and the key in the environment variable {self._config.api_key_env!r}",
            )
        if response.status in _BUSY or response.status >= 500:
            return _Again(reason, seconds, retry_after(response.headers))
        return self._refusal(reason)

    def _shuts_out(self, status: int, body: object) -> bool:
        error = body.get("error") if isinstance(body, dict) else None
        if isinstance(error, dict) and "insufficient_quota" in (error.get("code"), error.get("type")):
            return True
        return status == 401 or (status in _SHUT and not self.answers)

    async def _sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        sleeper: asyncio.Future[None] = loop.create_future()
        self._sleepers.add(sleeper)
        handle = loop.call_later(seconds, _wake, sleeper)
        try:
            if not self._stopped:
                await sleeper
        finally:
            handle.cancel()
            self._sleepers.discard(sleeper)
        if self._stopped:
            raise StoppedSending

    def masked(self, text: str) -> str:
        """The text without the key, nor anything that looks like one."""
        if self._key != NO_KEY:
            text = text.replace(self._key, "***")
        return _SECRET.sub("***", text)

    def _failed(self, reason: str) -> Reply:
        """The server is down or overloaded: the next ask may fare no better."""
        self._failed_in_a_row += 1
        return Reply("failed", error=reason)

    def _refusal(self, reason: str, usage: tuple[int, int] = (0, 0)) -> Reply:
        """This ask is not answered; the next may be."""
        self._refused += 1
        return Reply("failed", error=reason, usage=usage)

    def _dead(self, reason: str, remedy: str) -> EngineError:
        return EngineError(f"the server {address(self._config)} {reason}\n{remedy}; replies so far are kept, the same command goes on")


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
