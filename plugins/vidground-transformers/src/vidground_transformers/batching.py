"""Which asks go through the model together, and what happens when they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vidground_core import Ask, EngineError, Reply
from vidground_transformers.encoding import Encoded

# Most float32 logits held at once while continuations are scored (0.5 GB).
MOST_LOGITS = 2**27


def by_length(asks: Sequence[Ask]) -> list[int]:
    """Indices of the asks so that like lengths stand together and the longest come first: too large a batch shows at once."""
    return sorted(range(len(asks)), key=lambda index: _length(asks[index]), reverse=True)


def _length(ask: Ask) -> tuple[Any, ...]:
    texts = sum(len(part) for _, parts in ask.messages for part in parts if isinstance(part, str))
    clips = sorted((clip.frames, clip.fps, clip.pixels, clip.digest) for clip in ask.clips)
    return (len(clips), clips, texts)


@dataclass(frozen=True, slots=True)
class _Size:
    """Rows of the cache, longest prompt and longest continuation of a batch."""

    rows: int = 0
    prompt: int = 0
    tail: int = 0

    def plus(self, item: Encoded) -> _Size:
        # Continuations of several tokens each take a row.
        rows = max(1, sum(len(tail) > 1 for tail in item.tails))
        tail = max((len(tail) for tail in item.tails), default=0)
        return _Size(self.rows + rows, max(self.prompt, len(item.ids)), max(self.tail, tail))


@dataclass(slots=True)
class Batcher:
    """Forms batches of at most `budget` tokens, padding included, and answers them; `vocabulary` is the number of logits a token.

    Where memory runs out, the batch is halved and the budget stays at half of what it held. An ask that does not fit alone, or that the
    model refuses with a ValueError, is a failed reply. Anything else that the model raises is an EngineError.
    """

    budget: int
    vocabulary: int
    name: str
    free: Callable[[], None] = field(default=lambda: None)

    def batches(self, items: Iterable[tuple[int, Encoded]], *, room: int) -> Iterator[list[tuple[int, Encoded]]]:
        """Consecutive items of one shape, as many as fit; `room` is the number of tokens that will be generated after each prompt."""
        batch: list[tuple[int, Encoded]] = []
        size = _Size()
        for item in items:
            grown = size.plus(item[1])
            if batch and (item[1].shape != batch[0][1].shape or not self._fits(grown, room)):
                yield batch
                batch, grown = [], _Size().plus(item[1])
            batch.append(item)
            size = grown
        if batch:
            yield batch

    def _fits(self, size: _Size, room: int) -> bool:
        tokens = size.rows * (size.prompt + max(size.tail, room))
        return tokens <= self.budget and size.rows * size.tail * self.vocabulary <= MOST_LOGITS

    def answer(self, batch: Sequence[Encoded], run: Callable[[Sequence[Encoded]], list[Reply]]) -> list[Reply]:
        """The replies of `run` to the batch, halved as often as memory asks for."""
        try:
            return run(batch)
        except Exception as error:
            failed = error.with_traceback(None)
        if _out_of_memory(failed):
            # Outside the except clause, which would keep the failed batch's tensors alive.
            self.free()
            if len(batch) == 1:
                return [Reply("failed", error=f"out of memory for this ask alone ({len(batch[0].ids)} tokens)")]
            self.budget = max(1, sum(len(item.ids) for item in batch) // 2)
            half = len(batch) // 2
            return self.answer(batch[:half], run) + self.answer(batch[half:], run)
        if not isinstance(failed, ValueError):
            raise EngineError(f"the model {self.name!r} failed: {type(failed).__name__}: {failed}") from failed
        if len(batch) == 1:
            return [Reply("failed", error=f"the model refuses it: {failed}")]
        return [reply for item in batch for reply in self.answer([item], run)]


def _out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)
