"""Ways to send a request body and get a response back; both take address, key and headers from the openai SDK's client."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from vidground_core.engines.openai_config import PUBLIC_URL, OpenAIConfig, address
from vidground_core.engines.openai_wire import endpoint
from vidground_core.errors import EngineError

# The SDK wants a key; servers that need none ignore it.
NO_KEY = "none"


@dataclass(frozen=True, slots=True)
class Response:
    """What the server sent: `headers` with lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoResponseError(Exception):
    """No whole response came: "unreachable" (no connection), "timeout", or "cut" (the connection broke)."""

    def __init__(self, kind: Literal["unreachable", "timeout", "cut"], reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Transport(Protocol):
    """Sends bodies to the one endpoint of a config; used within one event loop."""

    async def send(self, content: bytes, seconds: float) -> Response:
        """The whole response, whatever its status. Raises NoResponseError."""
        ...

    async def close(self) -> None:
        """Closes the connections."""
        ...


def find_key(config: OpenAIConfig) -> str:
    """The key, from the environment. Raises EngineError where OpenAI itself is to be asked and there is none."""
    key = os.environ.get(config.api_key_env, "").strip()
    if not key and address(config) == PUBLIC_URL:
        raise EngineError(
            f"the engine 'openai' asks {PUBLIC_URL} and the environment variable {config.api_key_env!r} is not set\n"
            "export it, name another one by --set engine.api_key_env=NAME, or name another server by --set engine.base_url=URL"
        )
    return key or NO_KEY


def connect(config: OpenAIConfig, key: str) -> Transport:
    """Opens the configured transport; call it in the running event loop."""
    return _SDK(config, key) if config.transport == "sdk" else _Session(config, key)


def _client(config: OpenAIConfig, key: str) -> Any:
    import openai

    organization = os.environ.get(config.organization_env) or None
    http = openai.DefaultAioHttpClient()
    return openai.AsyncOpenAI(api_key=key, base_url=address(config), organization=organization, max_retries=0, http_client=http)


class _Session:
    """A plain aiohttp session, the transport that the SDK itself can use, without the SDK's work for every request."""

    def __init__(self, config: OpenAIConfig, key: str) -> None:
        import aiohttp

        self._client = _client(config, key)
        headers = {**self._client.default_headers, **self._client.auth_headers}
        # Connections are as many as the concurrency limit says, and are kept while others wait.
        certificates = _certificates(self._client) if address(config).startswith("https:") else True
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=75, ttl_dns_cache=300, ssl=certificates)
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={name: value for name, value in headers.items() if isinstance(value, str)},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._url = f"{address(config)}{endpoint(config)}"
        self._proxy = _proxy(self._url)

    async def send(self, content: bytes, seconds: float) -> Response:
        import aiohttp

        try:
            limit = aiohttp.ClientTimeout(total=seconds)
            async with self._session.post(self._url, data=content, timeout=limit, proxy=self._proxy, allow_redirects=False) as response:
                return Response(response.status, response.headers, await response.read())
        except TimeoutError as error:
            raise NoResponseError("timeout", f"no answer within {seconds:.3g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise NoResponseError("unreachable", _one_line(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise NoResponseError("cut", f"the connection was cut: {_one_line(error)}") from error

    async def close(self) -> None:
        await self._session.close()
        await self._client.close()


class _SDK:
    """Every request by the SDK's own call."""

    def __init__(self, config: OpenAIConfig, key: str) -> None:
        self._client = _client(config, key)
        resources = self._client.completions if config.api == "completions" else self._client.chat.completions
        self._create = resources.with_raw_response.create
        self._needed: dict[str, Any] = {"prompt": ""} if config.api == "completions" else {"messages": []}

    async def send(self, content: bytes, seconds: float) -> Response:
        import openai

        body = json.loads(content)
        try:
            # As extra fields, all of them: the SDK's signature knows only what OpenAI's own servers do.
            raw = await self._create(model=body["model"], **self._needed, extra_body=body, timeout=seconds)
            return Response(raw.status_code, raw.headers, raw.content)
        except openai.APIStatusError as error:
            return Response(error.status_code, error.response.headers, error.response.content)
        except openai.APIConnectionError as error:
            raise _no_response(error, seconds) from error

    async def close(self) -> None:
        await self._client.close()


def _certificates(client: Any) -> Any:
    """The TLS settings that the SDK's own HTTP library makes, whichever of the two it uses (httpx, httpx2)."""
    from importlib import import_module

    (library,) = {base.__module__.partition(".")[0] for base in type(client._client).__mro__ if base.__name__ == "AsyncClient"}
    return import_module(library).create_ssl_context()


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for an address; looked up once, not for every request."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _no_response(error: BaseException, seconds: float) -> NoResponseError:
    """Which of the three it was: the SDK calls a refused connection a timeout too, so its causes are looked through."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    names = {base.__name__ for one in chain for base in type(one).__mro__}
    if names & {"ClientConnectorError", "ConnectError"}:
        return NoResponseError("unreachable", _one_line(chain[-1]))
    if "TimeoutError" in names:
        return NoResponseError("timeout", f"no answer within {seconds:.3g} s")
    return NoResponseError("cut", f"the connection was cut: {_one_line(chain[-1])}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
