"""What a finished detector was asked and answered, read back from the reply store: nothing is asked again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from vidground_core.detectors.base import Corpus, ProbeDetector
from vidground_core.records import Ask, Question, Reply, reply_key
from vidground_core.runs.judging import OpenQuestion, begin, resolve_clips, step
from vidground_core.runs.store import ReplyStore

Exchange = tuple[Ask, Reply]

_AT_ONCE = 512
_NOT_STORED = Reply("failed", error="no reply is stored")


def exchanges(
    detector: ProbeDetector[Any], questions: Iterable[Question], corpus: Corpus, *, store: ReplyStore, identity: str
) -> Iterator[tuple[Question, list[Exchange]]]:
    """Each question with all its asks and their replies, in the order asked; none where its media cannot be read.

    `identity` is that of the engine that answered; an ask without a stored reply has a failed one.
    """
    left = iter(questions)
    while states := [begin(detector, question, corpus, part="", row=0) for question in islice(left, _AT_ONCE)]:
        heard: list[list[Exchange]] = [[] for _ in states]
        going = list(zip(states, heard, strict=True))
        for state, _ in going:
            step(detector, state)
        while going := _open(going):
            resolve_clips(detector, [state for state, _ in going])
            going = _open(going)
            _answer([state for state, _ in going], store, identity)
            for state, known in going:
                known += [(ask, state.replies[key]) for ask, key in zip(state.asks, state.keys, strict=True)]
                step(detector, state)
        yield from zip((state.question for state in states), heard, strict=True)


def _open(going: Sequence[tuple[OpenQuestion, list[Exchange]]]) -> list[tuple[OpenQuestion, list[Exchange]]]:
    return [(state, known) for state, known in going if state.verdict is None]


def _answer(states: Sequence[OpenQuestion], store: ReplyStore, identity: str) -> None:
    for state in states:
        state.keys = [reply_key(ask, identity) for ask in state.asks]
    found = store.get_many(key for state in states for key in state.keys)
    for state in states:
        state.replies = {key: found.get(key, _NOT_STORED) for key in state.keys}
