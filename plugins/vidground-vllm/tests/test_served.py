"""A server that vg starts, for real: on this machine, from an interpreter that may be another one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from vidground_vllm.engine import VLLMConfig, VLLMEngine
from vidground_vllm.served import client_config
from vidground_vllm.server import KEY_VARIABLE, Server

from vidground_core import Ask, EngineError, MissingBackendError, Reply
from vidground_core.testing import ask

SERVER: dict[str, Any] = {
    "mode": "server",
    "dtype": "float32",
    "enforce_eager": True,
    "max_model_len": 256,
    "kv_cache_gib": 0.25,
    "block_size": 32,
}


def processes_of(text: str) -> list[int]:
    """Of all processes whose command line has the text, and of what they started: the ids."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def started_by(pid: int) -> list[int]:
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return children + [below for child in children for below in started_by(child)]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def none_runs(pids: list[int]) -> bool:
    for _ in range(600):
        if not any(map(runs, pids)):
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def served(llama: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VLLMEngine]:
    engine = VLLMEngine(VLLMConfig(model=llama, **SERVER, restarts=1, log=str(tmp_path_factory.mktemp("log") / "server.log")))
    engine.start()
    yield engine
    engine.close()


def plain(number: int, tokens: float = 6.0) -> Ask:
    return Ask((("user", (f"Say {number}",)),), sampling=(("max_tokens", tokens),))


@pytest.mark.vllm
def test_asks_are_answered_and_bad_ones_fail_alone(served: VLLMEngine) -> None:
    replies = ask(served, [*(plain(number) for number in range(20)), Ask((("user", ("word " * 300,)),), sampling=(("max_tokens", 4.0),))])
    assert {reply.status for reply in replies[:20]} == {"answered"}
    assert replies[0].usage[0] > 5
    assert replies[20].status == "failed"
    assert replies[20].error.startswith("the server answered 400: ")


@pytest.mark.vllm
def test_others_on_this_machine_are_kept_out(served: VLLMEngine) -> None:
    import urllib.error
    import urllib.request

    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{served._running._server.url}/models")


@pytest.mark.vllm
def test_a_server_that_dies_is_started_again_and_then_given_up(served: VLLMEngine) -> None:
    """The first time, what was under way is asked again and every ask is answered once; the second time the run ends."""
    answered: dict[str, list[Reply]] = {}

    def kill() -> None:
        (api,) = started_by(served._running._server._process.pid)[:1]
        os.kill(api, signal.SIGKILL)

    async def run(first: int, count: int) -> None:
        async def feed() -> AsyncIterator[tuple[str, Ask]]:
            for number in range(first, first + count):
                yield str(number), plain(number, 48.0)

        async for token, reply in served.answer(feed()):
            answered.setdefault(token, []).append(reply)
            if len(answered) in (5, 125):
                kill()

    asyncio.run(run(0, 100))
    assert len(answered) == 100
    assert {len(replies) for replies in answered.values()} == {1}
    # A reply of a model with random weights may be no text at all, which is a failure of that ask.
    assert sum(replies[0].status == "answered" for replies in answered.values()) > 90
    with pytest.raises(EngineError) as error:
        asyncio.run(run(100, 100))
    assert str(error.value).startswith("the engine 'vllm' is dead: its server died, ")
    assert "it was started again 1 times (restarts); replies so far are kept" in str(error.value)


@pytest.mark.vllm
def test_nothing_is_left_when_vg_is_killed(llama: str, tmp_path: Path) -> None:
    """Killed by SIGKILL while the server loads, when it has started a process for the model already."""
    program = (
        "import sys; from vidground_vllm.engine import VLLMConfig, VLLMEngine\n"
        f"VLLMEngine(VLLMConfig(model={llama!r}, log={str(tmp_path / 'log')!r}, **{SERVER!r})).start()"
    )
    starter = subprocess.Popen([sys.executable, "-c", program])
    for _ in range(1200):
        below = started_by(starter.pid)
        if len(below) >= 4:
            break
        time.sleep(0.05)
    assert len(below) >= 4
    starter.kill()
    starter.wait()
    assert none_runs(below)
    assert not [pid for pid in processes_of(llama) if runs(pid)]


@pytest.mark.vllm
def test_a_server_that_does_not_start_says_why(llama: str, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with pytest.raises(EngineError) as error:
        Server(llama, VLLMConfig(model=llama, **SERVER | {"extra": {"no_such_argument": 3}}, log=str(log)))
    text = str(error.value)
    assert text.startswith(f"the vLLM server of {llama!r} did not start: -c: error: unrecognized arguments: --no-such-argument")
    assert f"the end of its log, {log}:\n" in text


def test_a_server_that_is_not_ready_in_time(llama: str, tmp_path: Path) -> None:
    """An interpreter that does nothing stands for one that loads for ever."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$2" in *watchdog.py) exec {sys.executable} "$@";; esac\nexec sleep 1000\n')
    python.chmod(0o755)
    with pytest.raises(EngineError, match=r"was not ready after start_seconds = 1; raise it; the end of its log, "):
        Server(llama, VLLMConfig(model=llama, **SERVER, python=str(python), start_seconds=1, log=str(tmp_path / "log")))
    assert not processes_of(str(python))


def test_an_interpreter_that_is_none(tmp_path: Path) -> None:
    for python in (tmp_path / "gone", tmp_path):
        with pytest.raises(MissingBackendError) as error:
            Server("m", VLLMConfig(model="m", mode="server", python=str(python)))
        assert str(error.value) == (
            f"engine.python = {str(python)!r} is no interpreter that can be run; give the path of a python that has vllm"
        )


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is in this environment")
def test_an_interpreter_without_vllm(llama: str, tmp_path: Path) -> None:
    options = {"model": llama, "mode": "server", "log": str(tmp_path / "log")}
    with pytest.raises(MissingBackendError) as error:
        Server(llama, VLLMConfig(**options, python=sys.executable))
    assert str(error.value) == (
        f"the interpreter {sys.executable!r} has no package vllm; set engine.python to one that has, or: pip install 'vidground-vllm[vllm]'"
    )
    with pytest.raises(MissingBackendError, match="the engine 'vllm' needs the package vllm, which this interpreter does not have"):
        Server(llama, VLLMConfig(**options))


def test_the_client_that_talks_to_it() -> None:
    config = client_config(
        VLLMConfig(mode="server", thinking=False, max_new_tokens=7, in_flight=9000), url="http://127.0.0.1:1/v1", template=True
    )
    assert (config.api, config.model, config.api_key_env, config.concurrency) == ("chat", "vidground", KEY_VARIABLE, 4096)
    assert config.extra_body == {"chat_template_kwargs": {"enable_thinking": False}}
    assert config.max_new_tokens == 7
    assert client_config(VLLMConfig(mode="server"), url="http://127.0.0.1:1/v1", template=False).api == "completions"
