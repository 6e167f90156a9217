"""The engine: loads a checkpoint, forms batches, answers them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from vidground_core import Ask, BatchEngine, EngineConfig, EngineError, Reply
from vidground_core.models import resolve_model
from vidground_transformers.checkpoint import contents, read_config, sees
from vidground_transformers.formats import resolve_format
from vidground_transformers.gguf import is_gguf
from vidground_transformers.pipeline import pipeline

if TYPE_CHECKING:
    from vidground_transformers.fleet import Fleet
    from vidground_transformers.running import Running

# Most tokens of a batch: larger ones gain nothing on a CPU, whose caches they leave.
_TOKENS_GPU, _TOKENS_CPU = 16_384, 2_048
# Asks that are sorted by length together: several batches.
_WINDOW_GPU, _WINDOW_CPU = 1_024, 256


# One model at a time: two threads that import transformers at once can meet it half imported.
_LOADING = threading.Lock()


def _listed(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class TransformersConfig(EngineConfig):
    """Options of the engine `transformers`."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of the weights; auto: the checkpoint's where the device is fast with it, else float32."
    )
    device: str = Field("auto", description="Where the model runs, such as cpu or cuda:1; auto: the first GPU, else the CPU.")
    devices: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (),
        description="Devices, such as cuda:0,cuda:1, each with a process and a copy of the model; all: every GPU. Unset: `device` alone.",
    )
    attention: str = Field(
        "auto", description="Attention implementation, such as sdpa, eager or flash_attention_2; auto: the library's choice."
    )
    batch_tokens: int | None = Field(
        None,
        ge=1,
        description="Most tokens in a batch, padding included; halved when memory runs out. Unset: 16,384 on a GPU, 2,048 on a CPU.",
    )
    max_new_tokens: int = Field(512, ge=1, description="Most tokens of an answer where the ask does not say.")
    thinking: bool | None = Field(None, description="The chat template's enable_thinking switch; unset: the template's default.")
    revision: str | None = Field(
        None, description="Branch, tag or commit of a model on the hub; unset: the newest, or the one cached here."
    )
    trust_remote_code: bool = Field(False, description="Whether Python code that comes with a checkpoint may run.")


class TransformersEngine(BatchEngine[TransformersConfig]):
    """Local vision-language and text models by transformers: option log-probabilities and generation, with video, images or text alone."""

    name: ClassVar[str] = "transformers"
    version: ClassVar[str] = "2"
    Config: ClassVar[type[Any]] = TransformersConfig
    can = frozenset({"text", "logprobs", "images", "video", "sampling"})

    def __init__(self, config: TransformersConfig) -> None:
        super().__init__(config)
        self._checkpoint = resolve_model(config.model)
        self._running: Running | None = None
        self._fleet: Fleet | None = None
        known = read_config(self._checkpoint, config.revision) if self._checkpoint else None
        if is_gguf(self._checkpoint) or (known is not None and not sees(known)):
            self.can = self.can - {"images", "video"}

    @property
    def identity(self) -> str:
        """Engine version, contents of the checkpoint, number format, template switches; a folder's path is not part of it."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        self._require_model()
        switches = f"thinking={self.config.thinking} max_new_tokens={self.config.max_new_tokens}"
        dtype = resolve_format(self._checkpoint, self.config)
        return f"transformers {self.version} {contents(self._checkpoint, self.config.revision)} dtype={dtype} {switches}"

    def start(self) -> None:
        """Loads the model. Raises EngineError where it cannot be found, read or put on the device."""
        with _LOADING:
            self._load()

    def _load(self) -> None:
        from vidground_transformers.batching import Batcher
        from vidground_transformers.encoding import Encoder
        from vidground_transformers.loading import load
        from vidground_transformers.running import Running
        from vidground_transformers.scoring import Scorer

        self._require_model()
        if self.config.devices:
            self._start_fleet()
            return
        loaded = load(self._checkpoint, self.config)
        if not loaded.pictures:
            self.can = self.can - {"images", "video"}
        switches = {} if self.config.thinking is None else {"enable_thinking": self.config.thinking}
        size = loaded.model.config.get_text_config().vocab_size
        on_cpu = loaded.model.device.type == "cpu"
        self.window = _WINDOW_CPU if on_cpu else _WINDOW_GPU
        budget = self.config.batch_tokens or (_TOKENS_CPU if on_cpu else _TOKENS_GPU)
        scorer = Scorer(loaded.model, loaded.vocabulary)
        batcher = Batcher(budget, size, self._checkpoint, _free_memory, blocks=scorer.blocks)
        self._running = Running(loaded, Encoder(loaded.processor, switches=switches), batcher, scorer, self.config.max_new_tokens)

    def _start_fleet(self) -> None:
        from vidground_transformers.fleet import Fleet
        from vidground_transformers.loading import all_gpus

        devices = all_gpus() if self.config.devices == ("all",) else self.config.devices
        fleet = Fleet(devices, self.config.model_dump())
        fleet.start()
        self._fleet, self.can = fleet, fleet.can

    def _require_model(self) -> None:
        if not self._checkpoint:
            raise EngineError("the engine 'transformers' needs a model: give a folder or a hub name with --model")

    def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """Scores the asks that have continuations and generates for the others; each in batches of like length."""
        if self._fleet is not None:
            return asyncio.run(_collected(self.answer(_numbered(asks)), len(asks)))
        running = self._started()
        replies: dict[int, Reply] = {}
        for work in running.prepare(asks):
            replies |= running.run(work)
        return [replies[index] for index in range(len(asks))]

    async def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncGenerator[tuple[str, Reply]]:
        """Answers windows of asks, each batch's replies as it is through; the next batches are made ready while one runs."""
        if self._fleet is not None:
            stream = self._fleet.answer(asks)
        else:
            running = self._started()
            stream = pipeline(running.prepare, running.run, asks, window=self.window)
        async with aclosing(stream) as replies:
            async for answered in replies:
                yield answered

    def _started(self) -> Running:
        if self._running is None:
            raise EngineError("the engine 'transformers' has not been started")
        return self._running

    def close(self) -> None:
        """Frees the model, and ends the processes of several devices."""
        if self._fleet is not None:
            self._fleet.close()
            self._fleet = None
        if self._running is not None:
            self._running = None
            _free_memory()


async def _numbered(asks: Sequence[Ask]) -> AsyncIterator[tuple[str, Ask]]:
    for place, ask in enumerate(asks):
        yield str(place), ask


async def _collected(replies: AsyncIterator[tuple[str, Reply]], count: int) -> list[Reply]:
    found = {token: reply async for token, reply in replies}
    return [found[str(place)] for place in range(count)]


def _free_memory() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
