"""Which asks go through the model together, and what happens when they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vidground_core import Ask, EngineError, Reply
from vidground_transformers.blocks import inner_tokens
from vidground_transformers.encoding import Encoded

# Most float32 logits held at once while continuations are scored (0.5 GB).
MOST_LOGITS = 2**27
# So many batches in a row fit before a budget that was halved is tried at twice its size.
_PATIENCE = 64
# How allocators that raise no error class of their own say that memory ran out: torch on a CPU, C++, cuBLAS.
_SIGNS = ("DefaultCPUAllocator: can't allocate memory", "std::bad_alloc", "CUBLAS_STATUS_ALLOC_FAILED")


def by_length(asks: Sequence[Ask]) -> list[int]:
    """Indices of the asks so that like lengths stand together and the longest come first: too large a batch shows at once."""
    return sorted(range(len(asks)), key=lambda index: _length(asks[index]), reverse=True)


def by_tokens(items: Iterable[tuple[int, Encoded]]) -> list[tuple[int, Encoded]]:
    """Encoded asks by the tokens that they take, the longest first."""
    return sorted(items, key=lambda item: len(item[1].ids) + inner_tokens(item[1]), reverse=True)


def _length(ask: Ask) -> tuple[Any, ...]:
    texts = sum(len(part) for _, parts in ask.messages for part in parts if isinstance(part, str))
    clips = sorted((clip.frames, clip.fps, clip.pixels, clip.digest) for clip in ask.clips)
    return (len(clips), clips, texts)


@dataclass(frozen=True, slots=True)
class _Size:
    """Rows of a batch, its widest row without what comes after, the most tokens that do, and the places whose logits are needed."""

    rows: int = 0
    width: int = 0
    after: int = 0
    reads: int = 0

    def plus(self, item: Encoded, *, blocks: bool) -> _Size:
        inner = inner_tokens(item)
        if blocks:
            return _Size(self.rows + 1, max(self.width, len(item.ids) + inner), 0, self.reads + 1 + inner)
        # Continuations of several tokens each take a row.
        rows = max(1, sum(len(tail) > 1 for tail in item.tails))
        after = max((len(tail) for tail in item.tails), default=0)
        return _Size(self.rows + rows, max(self.width, len(item.ids)), max(self.after, after), self.reads + 1 + inner)


@dataclass(slots=True)
class Batcher:
    """Forms batches of at most `budget` tokens, padding included, and answers them; `vocabulary` is the number of logits a token.

    With `blocks` the continuations of an ask stand in its row, else each of several tokens takes a row. Where memory runs out, the batch
    is halved and the budget falls to half of what it held; after `_PATIENCE` batches without trouble it doubles, up to what it was, and
    each time that was too much the patience doubles. An ask that does not fit alone, or that the model refuses with a ValueError, is a
    failed reply. Anything else that the model raises is an EngineError.
    """

    budget: int
    vocabulary: int
    name: str
    free: Callable[[], None] = field(default=lambda: None)
    blocks: bool = False
    _most: int = field(init=False)
    _patience: int = field(init=False, default=_PATIENCE)
    _good: int = field(init=False, default=0)
    _tried: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._most = self.budget

    def batches(self, items: Iterable[tuple[int, Encoded]], *, room: int) -> Iterator[list[tuple[int, Encoded]]]:
        """Consecutive items of one shape, as many as fit; `room` is the number of tokens that will be generated after each prompt."""
        batch: list[tuple[int, Encoded]] = []
        size = _Size()
        for item in items:
            grown = size.plus(item[1], blocks=self.blocks and not room)
            if batch and (item[1].shape != batch[0][1].shape or not self._fits(grown, room)):
                yield batch
                batch, grown = [], _Size().plus(item[1], blocks=self.blocks and not room)
            batch.append(item)
            size = grown
        if batch:
            yield batch

    def _fits(self, size: _Size, room: int) -> bool:
        tokens = size.rows * (size.width + max(size.after, room))
        return tokens <= self.budget and size.reads * self.vocabulary <= MOST_LOGITS

    def answer(self, batch: Sequence[Encoded], run: Callable[[Sequence[Encoded]], list[Reply]]) -> list[Reply]:
        """The replies of `run` to the batch, halved as often as memory asks for."""
        try:
            replies = run(batch)
            self._went_well()
            return replies
        except Exception as error:
            failed = error.with_traceback(None)
        if _out_of_memory(failed):
            # Outside the except clause, which would keep the failed batch's tensors alive.
            self.free()
            if len(batch) == 1:
                return [Reply("failed", error=f"out of memory for this ask alone ({len(batch[0].ids)} tokens)")]
            self._shrink(sum(len(item.ids) for item in batch) // 2)
            half = len(batch) // 2
            return self.answer(batch[:half], run) + self.answer(batch[half:], run)
        if not isinstance(failed, ValueError):
            raise EngineError(f"the model {self.name!r} failed: {type(failed).__name__}: {failed}") from failed
        if len(batch) == 1:
            return [Reply("failed", error=f"the model refuses it: {failed}")]
        return [reply for item in batch for reply in self.answer([item], run)]

    def _went_well(self) -> None:
        self._good += 1
        if self.budget < self._most and self._good >= self._patience:
            self.budget, self._good, self._tried = min(2 * self.budget, self._most), 0, True

    def _shrink(self, tokens: int) -> None:
        if self._tried:
            self._patience *= 2
        self.budget, self._good, self._tried = max(1, min(tokens, self.budget)), 0, False


def _out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in str(error) for sign in _SIGNS)
