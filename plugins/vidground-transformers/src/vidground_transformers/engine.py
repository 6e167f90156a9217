"""The engine: loads a checkpoint, forms batches, answers them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from vidground_core import Ask, BatchEngine, EngineConfig, EngineError, MediaError, Reply
from vidground_core.models import resolve_model
from vidground_transformers.checkpoint import contents, read_config, sees
from vidground_transformers.gguf import is_gguf

if TYPE_CHECKING:
    from vidground_transformers.batching import Batcher
    from vidground_transformers.encoding import Encoded, Encoder
    from vidground_transformers.loading import Loaded


class TransformersConfig(EngineConfig):
    """Options of the engine `transformers`."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of the weights; auto: the checkpoint's, but float32 for a float16 checkpoint on a CPU."
    )
    device: str = Field("auto", description="Where the model runs, such as cpu or cuda:1; auto: the first GPU, else the CPU.")
    attention: str = Field(
        "auto", description="Attention implementation, such as sdpa, eager or flash_attention_2; auto: the library's choice."
    )
    batch_tokens: int = Field(16_384, ge=1, description="Most tokens in a batch, padding included; halved for good when memory runs out.")
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
        self._running: _Running | None = None
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
        return f"transformers {self.version} {contents(self._checkpoint, self.config.revision)} dtype={self.config.dtype} {switches}"

    def start(self) -> None:
        """Loads the model. Raises EngineError where it cannot be found, read or put on the device."""
        from vidground_transformers.batching import Batcher
        from vidground_transformers.encoding import Encoder
        from vidground_transformers.loading import load

        self._require_model()
        loaded = load(self._checkpoint, self.config)
        if not loaded.pictures:
            self.can = self.can - {"images", "video"}
        switches = {} if self.config.thinking is None else {"enable_thinking": self.config.thinking}
        size = loaded.model.config.get_text_config().vocab_size
        self._running = _Running(
            loaded,
            Encoder(loaded.processor, switches=switches),
            Batcher(self.config.batch_tokens, size, self._checkpoint, _free_memory),
        )

    def _require_model(self) -> None:
        if not self._checkpoint:
            raise EngineError("the engine 'transformers' needs a model: give a folder or a hub name with --model")

    def answer_batch(self, asks: Sequence[Ask]) -> Sequence[Reply]:
        """Scores the asks that have continuations and generates for the others; each in batches of like length."""
        from vidground_transformers.batching import by_length

        if self._running is None:
            raise EngineError("the engine 'transformers' has not been started")
        replies: dict[int, Reply] = {}
        groups: dict[int, list[int]] = {}
        for index in by_length(asks):
            try:
                groups.setdefault(self._room(asks[index]), []).append(index)
            except ValueError as error:
                replies[index] = Reply("failed", error=str(error))
        for room, indices in groups.items():
            replies |= self._running.answer(asks, indices, room=room)
        return [replies[index] for index in range(len(asks))]

    def _room(self, ask: Ask) -> int:
        """The most tokens to generate: 0 for an ask with continuations."""
        from vidground_transformers.generating import settings

        return 0 if ask.continuations else int(settings(ask).get("max_tokens", 0)) or self.config.max_new_tokens

    def close(self) -> None:
        """Frees the model."""
        if self._running is not None:
            self._running = None
            _free_memory()


@dataclass(frozen=True, slots=True)
class _Running:
    """What a started engine holds."""

    loaded: Loaded
    encoder: Encoder
    batcher: Batcher

    def answer(self, asks: Sequence[Ask], indices: Sequence[int], *, room: int) -> dict[int, Reply]:
        """Replies to asks of one kind by index; encoding goes on batch by batch, so that the pixels of one are held."""
        replies: dict[int, Reply] = {}

        def encoded() -> Iterator[tuple[int, Encoded]]:
            for index in indices:
                try:
                    yield index, self.encoder.encode(asks[index])
                except (MediaError, ValueError) as error:
                    replies[index] = Reply("failed", error=str(error))

        for batch in self.batcher.batches(encoded(), room=room):
            answered = self.batcher.answer([item for _, item in batch], partial(self._run, room=room))
            replies.update(zip((index for index, _ in batch), answered, strict=True))
        return replies

    def _run(self, batch: Sequence[Encoded], *, room: int) -> list[Reply]:
        from vidground_transformers.generating import generate
        from vidground_transformers.scoring import score

        vocabulary = self.loaded.vocabulary
        if not room:
            return score(self.loaded.model, batch, pad=vocabulary.pad)
        return generate(self.loaded.model, batch, vocabulary=vocabulary, tokenizer=self.encoder.tokenizer, most=room)


def _free_memory() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
