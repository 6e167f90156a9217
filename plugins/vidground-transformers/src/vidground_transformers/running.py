"""A started engine's work on a list of asks: encode, sort, batch, run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from vidground_core import Ask, MediaError, Reply
from vidground_transformers.batching import Batcher, by_length, by_tokens
from vidground_transformers.encoding import Encoded, Encoder
from vidground_transformers.generating import generate, settings
from vidground_transformers.loading import Loaded
from vidground_transformers.scoring import Scorer


@dataclass(frozen=True, slots=True)
class Work:
    """A batch that is ready for the model, or replies that need none; `room` is the number of tokens to generate, 0 to score."""

    items: tuple[tuple[int, Encoded], ...] = ()
    room: int = 0
    done: tuple[tuple[int, Reply], ...] = ()


@dataclass(frozen=True, slots=True)
class Running:
    """What a started engine holds. `prepare` and `run` may stand in two threads, one each."""

    loaded: Loaded
    encoder: Encoder
    batcher: Batcher
    scorer: Scorer
    max_new_tokens: int

    def prepare(self, asks: Sequence[Ask]) -> Iterator[Work]:
        """The asks as batches of like length; their indices go with them. Texts are encoded at once, clips batch by batch."""
        texts: dict[int, list[int]] = {}
        shown: dict[int, list[int]] = {}
        for index in by_length(asks):
            try:
                (shown if asks[index].clips else texts).setdefault(self._room(asks[index]), []).append(index)
            except ValueError as error:
                yield _failed(index, error)
        for room, indices in shown.items():
            yield from self._batches(self._with_clips(asks, indices), room)
        for room, indices in texts.items():
            try:
                encoded = self.encoder.encode_texts([asks[index] for index in indices])
            except ValueError:
                # One of them that the template refuses must not take the others with it.
                yield from self._batches(self._with_clips(asks, indices), room)
            else:
                yield from self._batches(by_tokens(zip(indices, encoded, strict=True)), room)

    def _with_clips(self, asks: Sequence[Ask], indices: Sequence[int]) -> Iterator[tuple[int, Encoded] | Work]:
        for index in indices:
            try:
                yield index, self.encoder.encode(asks[index])
            except (MediaError, ValueError) as error:
                yield _failed(index, error)

    def _batches(self, items: Iterable[tuple[int, Encoded] | Work], room: int) -> Iterator[Work]:
        failed: list[Work] = []

        def encoded() -> Iterator[tuple[int, Encoded]]:
            for item in items:
                if isinstance(item, Work):
                    failed.append(item)
                else:
                    yield item

        for batch in self.batcher.batches(encoded(), room=room):
            yield Work(tuple(batch), room)
        yield from failed

    def run(self, work: Work) -> dict[int, Reply]:
        """The replies to a batch, by index."""
        if not work.items:
            return dict(work.done)
        replies = self.batcher.answer([item for _, item in work.items], partial(self._run, room=work.room))
        return dict(zip((index for index, _ in work.items), replies, strict=True))

    def _run(self, batch: Sequence[Encoded], *, room: int) -> list[Reply]:
        if not room:
            return self.scorer.score(batch)
        return generate(self.loaded.model, batch, vocabulary=self.loaded.vocabulary, decode=self.encoder.decode, most=room)

    def _room(self, ask: Ask) -> int:
        """The most tokens to generate: 0 for an ask with continuations."""
        return 0 if ask.continuations else int(settings(ask).get("max_tokens", 0)) or self.max_new_tokens


def _failed(index: int, error: Exception) -> Work:
    return Work(done=((index, Reply("failed", error=str(error))),))
