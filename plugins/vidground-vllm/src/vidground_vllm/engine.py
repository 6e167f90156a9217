"""The engine: what it is, and which of its two modes answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from vidground_core import Ask, Engine, EngineError, Reply
from vidground_core.models import resolve_model
from vidground_core.models.checkpoints import contents, read_config, sees
from vidground_vllm.checkpoint import has_template
from vidground_vllm.config import VLLMConfig

if TYPE_CHECKING:
    from vidground_vllm.offline import Offline
    from vidground_vllm.served import Served

# Options that can change a reply, besides the checkpoint's contents.
_TOLD = ("dtype", "quantization", "kv_cache_dtype", "max_model_len", "thinking", "max_new_tokens", "seed")


class VLLMEngine(Engine[VLLMConfig]):
    """vLLM: log-probabilities of options and generation, in this process or by a server that vg starts; text, images, native video."""

    name: ClassVar[str] = "vllm"
    version: ClassVar[str] = "1"
    Config: ClassVar[type[Any]] = VLLMConfig
    can = frozenset({"text", "logprobs", "images", "video", "sampling"})

    def __init__(self, config: VLLMConfig) -> None:
        super().__init__(config)
        self._checkpoint = resolve_model(config.model)
        self._running: Offline | Served | None = None
        known = read_config(self._checkpoint, config.revision) if self._checkpoint else None
        if config.mode == "server":
            # By its chat API a server gives letters; whole continuations only by completions, which know no chat template and no clips.
            chat = has_template(self._checkpoint)
            self.can = (self.can - {"logprobs"}) | {"letters"} if chat else self.can - {"images", "video"}
        if known is not None and not sees(known):
            self.can = self.can - {"images", "video"}

    @property
    def identity(self) -> str:
        """Engine version, contents of the checkpoint, options that can change a reply; a folder's path is not part of it."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        self._require_model()
        told = " ".join(f"{name}={getattr(self.config, name)}" for name in _TOLD)
        extra = json.dumps(self.config.extra, sort_keys=True)
        mode = "" if self.config.mode == "offline" else " server"
        return f"vllm {self.version}{mode} {contents(self._checkpoint, self.config.revision)} {told} extra={extra}"

    def start(self) -> None:
        """Loads the model. Raises MissingBackendError, ConfigError for an unknown argument in `extra`, EngineError."""
        self._require_model()
        if self.config.mode == "server":
            from vidground_vllm.served import Served

            self._running = Served(self._checkpoint, self.config)
            return
        from vidground_vllm.offline import Offline

        self._running = Offline(self._checkpoint, self.config)
        if not self._running.modalities:
            self.can = self.can - {"images", "video"}

    def _require_model(self) -> None:
        if not self._checkpoint:
            raise EngineError("the engine 'vllm' needs a model: give a folder or a hub name with --model")

    def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        """A reply for each ask, each as it completes; at most `in_flight` are under way. Raises EngineError where vLLM dies."""
        if self._running is None:
            raise EngineError("the engine 'vllm' has not been started")
        return self._running.answer(asks)

    def close(self) -> None:
        """Ends vLLM and frees its memory."""
        if self._running is not None:
            self._running.close()
            self._running = None
