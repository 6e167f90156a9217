"""vLLM in this process: loading a model, its encoder, and the few calls that the stream makes."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import active_children, resource_tracker
from typing import TYPE_CHECKING, Any

from vidground_core import Ask, EngineError, MissingBackendError, Reply
from vidground_core.models.checkpoints import read_config
from vidground_vllm.asking import Generating, Request, Scoring, Work
from vidground_vllm.config import check_extra, engine_arguments
from vidground_vllm.encoding import Encoder
from vidground_vllm.guard import Guard
from vidground_vllm.logs import Log, children_write_to
from vidground_vllm.stream import Stream

if TYPE_CHECKING:
    from vidground_vllm.config import VLLMConfig

INSTALL = "pip install 'vidground-vllm[vllm]' (in an interpreter of its own, for its pins exclude those of other back-ends)"
# Settings of the library that are only made where the user made none: its log is for people who run servers, and a CPU's KV cache would
# take the share of all memory that is meant for a GPU.
_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "4",
}
_PICTURE_WORDS = ("image", "video", "vision", "audio", "boi", "eoi")


def environment(config: VLLMConfig) -> dict[str, str]:
    """Environment variables for vLLM that are not set yet."""
    wanted = dict(_ENVIRONMENT)
    if config.kv_cache_gib is not None:
        # It would overrule the option.
        wanted.pop("VLLM_CPU_KVCACHE_SPACE")
    return {name: value for name, value in wanted.items() if name not in os.environ}


class Offline:
    """A loaded model. Building it takes the time that loading takes."""

    def __init__(self, checkpoint: str, config: VLLMConfig) -> None:
        """Raises MissingBackendError without vLLM, ConfigError for arguments it does not know, EngineError where it cannot load."""
        os.environ.update(environment(config))
        engine_args = _imported()
        arguments = engine_arguments(config, checkpoint)
        check_extra(config.extra, (field.name for field in dataclasses.fields(engine_args)))
        self._config = config
        self._log = Log(config.log)
        self._guard = Guard()
        before = set(active_children())
        try:
            with self._guard.marking():
                self._llm = _loaded(checkpoint, arguments, self._log)
        except BaseException:
            self._guard.dismiss()
            self._log.discard()
            raise
        self._processes = set(active_children()) - before
        self._engine = self._llm.llm_engine
        self._barred = _barred(checkpoint, config)
        self.modalities = _modalities(self._engine)
        tokenizer = self._llm.get_tokenizer()
        self._encoder = Encoder(
            tokenizer,
            template=_template(tokenizer, checkpoint, config, pictures=bool(self.modalities)),
            switches={} if config.thinking is None else {"enable_thinking": config.thinking},
            modalities=self.modalities,
        )
        self._room = int(self._engine.model_config.max_model_len)

    def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        """A reply for each ask. Raises EngineError where vLLM dies."""
        return Stream(self, self.encode, in_flight=self._config.in_flight).answer(asks)

    def encode(self, ask: Ask) -> Work:
        """The ask's work. Raises MediaError for a clip that does not decode, ValueError for what the model cannot take."""
        encoded = self._encoder.encode(ask)
        needed = len(encoded.ids) + max((len(tail) for tail in encoded.tails), default=0) + 1
        if needed > self._room:
            raise ValueError(f"the ask needs {needed} tokens, {self._room} fit; raise max_model_len where the model allows")
        if ask.continuations:
            return Scoring(encoded)
        return Generating(encoded, most=self._config.max_new_tokens, seed=self._config.seed, barred=self._barred)

    def add(self, name: str, request: Request) -> None:
        """Takes a request. Raises ValueError for one that vLLM refuses."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        try:
            parameters = SamplingParams(**request.parameters, output_kind=RequestOutputKind.FINAL_ONLY)
            self._engine.add_request(name, dict(request.prompt), parameters, priority=request.priority)
        except Exception as error:
            # What it says of a bad request are errors of several kinds, not all of them ValueErrors.
            if type(error).__name__ == "EngineDeadError" or not self.alive:
                raise
            raise ValueError(str(error) or type(error).__name__) from error

    def step(self) -> list[Any]:
        """Waits for finished requests."""
        return list(self._engine.step())

    def abort(self, names: list[str]) -> None:
        """Forgets requests."""
        if names:
            self._engine.abort_request(names)

    @property
    def alive(self) -> bool:
        """Whether all of vLLM's processes run."""
        return all(process.is_alive() for process in self._processes)

    def why_dead(self) -> str:
        """What vLLM's processes said of their end; empty where they said nothing."""
        return self._log.cause()

    def close(self) -> None:
        """Ends vLLM's processes and frees the memory."""
        with suppress(Exception):  # one that died is closed already
            self._engine.engine_core.shutdown()
        del self._engine, self._llm
        self._guard.dismiss()
        self._log.discard()
        import gc

        gc.collect()


def _imported() -> type[Any]:
    try:
        from vllm import EngineArgs
    except ImportError as error:
        if error.name == "vllm":
            raise MissingBackendError(
                f"the engine 'vllm' needs the package vllm, which this interpreter does not have: {INSTALL}; "
                "or let vg start a server in another one: --set engine.mode=server --set engine.python=PATH"
            ) from error
        raise MissingBackendError(f"the package vllm is here but cannot be imported: {error}; {INSTALL}") from error
    found: type[Any] = EngineArgs
    return found


def _loaded(checkpoint: str, arguments: Mapping[str, Any], log: Log) -> Any:
    from vllm import LLM

    try:
        with children_write_to(log), _deaf_children():
            return LLM(**arguments)
    except Exception as error:  # whatever the library raises for a bad name, folder, argument or device
        cause = (log.cause() or _reason(error)) if _points_elsewhere(error) else _reason(error)
        raise EngineError(
            f"the engine 'vllm' cannot load the model {checkpoint!r}: {cause}; "
            "--model takes a folder with config.json, weights and tokenizer, or a name on the hub"
        ) from error


def _points_elsewhere(error: BaseException) -> bool:
    return "root cause above" in str(error)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes started meanwhile never hear Ctrl-C: `vg` does, finishes what is under way and ends them."""
    # Started before, because its start would take the block away again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _reason(error: BaseException) -> str:
    """The first telling line of the innermost message; pydantic's heading and vLLM's 'see above' say nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "validation error" not in line and not line.startswith("For further information")]
    return (told or lines or [type(error).__name__])[0][:300].rstrip(".")


def _modalities(engine: Any) -> frozenset[str]:
    """What of "image" and "video" the loaded model takes."""
    if not engine.model_config.is_multimodal_model:
        return frozenset()
    limits = engine.renderer.get_mm_processor().info.supported_mm_limits
    return frozenset({"image", "video"} & set(limits))


def _template(tokenizer: Any, checkpoint: str, config: VLLMConfig, *, pictures: bool) -> str | None:
    found = getattr(tokenizer, "chat_template", None)
    if found or not pictures:
        return found or None
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(checkpoint, revision=config.revision, trust_remote_code=config.trust_remote_code)
    return getattr(processor, "chat_template", None)


def _barred(checkpoint: str, config: VLLMConfig) -> tuple[int, ...]:
    """Ids of the placeholders for pictures, which a model must not write."""
    known = read_config(checkpoint, config.revision) or {}
    found = {
        value
        for name, value in known.items()
        if isinstance(value, int) and name.endswith(("_token_id", "_token_index")) and name.startswith(_PICTURE_WORDS)
    }
    return tuple(sorted(found))
