"""What every engine must do: answer each ask once, the same way whatever else is in the batch, and fail by a reply."""
# ruff: noqa: S101

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vidground_core.engines.base import CAPABILITIES, Engine
from vidground_core.records import Ask, Clip, Reply
from vidground_core.testing.contracts.component import ComponentContract
from vidground_core.testing.probing import ask

_QUESTIONS = (
    "What colour is the object?\nA. red\nB. blue",
    "What is it?\nA. a cat\nB. a big dog\nC. car",
    "Which one comes first, and why?",
)
_OPTIONS = (("A", "B"), ("a cat", "a big dog", "car"), ("yes", "no"))


class EngineContract(ComponentContract):
    """Name `component`, and in `options` a small real model. `tolerance` is what one batch may differ from another, in nats."""

    tolerance: float = 1e-3

    @contextmanager
    def started(self) -> Iterator[Engine[Any]]:
        """The engine, started, and closed afterwards."""
        engine: Engine[Any] = self.build()
        engine.start()
        try:
            yield engine
        finally:
            engine.close()

    @property
    def scoring(self) -> list[Ask]:
        """Asks with options to score."""
        return [Ask((("user", (text,)),), options) for text, options in zip(_QUESTIONS, _OPTIONS, strict=True)]

    @property
    def generating(self) -> list[Ask]:
        """Asks to answer greedily in few tokens."""
        return [Ask((("user", (text,)),), sampling=(("max_tokens", 4.0),)) for text in _QUESTIONS]

    def test_says_what_it_can(self) -> None:
        """Detectors are refused by it before anything is asked."""
        can = self.build().can
        assert can, "can is empty: list what the engine is able to do"
        assert can <= set(CAPABILITIES), f"can {sorted(can - set(CAPABILITIES))} is none of {', '.join(CAPABILITIES)}"

    def test_identity_is_known_before_the_model_is_loaded(self) -> None:
        """A finished run resumes without a model."""
        first, second = self.build().identity, self.build().identity
        assert first.strip(), "identity is empty"
        assert first == second, f"identity changes from one object to the next: {first!r}, {second!r}"

    def test_every_ask_is_answered_once(self) -> None:
        """`ask` raises on a token that is unknown, missing or answered twice."""
        with self.started() as engine:
            if "text" in engine.can:
                for reply in ask(engine, self.generating):
                    assert reply.status == "answered", f"a plain ask failed: {reply.error}"
                    assert not reply.logprobs, "a generating ask came back with log-probabilities of continuations"

    def test_scores_every_continuation(self) -> None:
        """Sums of log-probabilities in nats, with their number of tokens."""
        with self.started() as engine:
            if "logprobs" in engine.can:
                for asked, reply in zip(self.scoring, ask(engine, self.scoring), strict=True):
                    _require_scores(asked, reply)

    def test_batches_do_not_change_replies(self) -> None:
        """A reply is stored under the ask alone, so it must not depend on its neighbours."""
        with self.started() as engine:
            if "logprobs" in engine.can:
                together = ask(engine, self.scoring)
                alone = [ask(engine, [each])[0] for each in self.scoring]
                for asked, one, other in zip(self.scoring, together, alone, strict=True):
                    _require_scores(asked, one)
                    _require_scores(asked, other)
                    worst = max(abs(a - b) for a, b in zip(one.logprobs, other.logprobs, strict=True))
                    assert worst <= self.tolerance, f"log-probabilities differ by {worst:.2g} nats between a batch and a single ask"
            if "text" in engine.can:
                texts = [[reply.text for reply in ask(engine, self.generating)] for _ in range(2)]
                assert texts[0] == texts[1], f"greedy answers differ from run to run: {texts}"

    def test_a_missing_video_is_a_failed_reply(self) -> None:
        """One bad file must not end a run of a million questions."""
        clip = Clip("no/such/video.mp4", digest="0" * 64)
        asks = [Ask((("user", (clip, _QUESTIONS[0])),), sampling=(("max_tokens", 2.0),)), self.generating[0]]
        with self.started() as engine:
            if "video" in engine.can:
                broken, sound = ask(engine, asks)
                assert broken.status == "failed", "an ask with a missing video was answered"
                assert broken.error.strip(), "a failed reply gives no reason"
                assert sound.status == "answered", f"the ask beside a failing one failed too: {sound.error}"


def _require_scores(asked: Ask, reply: Reply) -> None:
    assert reply.status == "answered", f"a plain ask failed: {reply.error}"
    count = len(asked.continuations)
    assert len(reply.logprobs) == count, f"{len(reply.logprobs)} log-probabilities for {count} continuations"
    assert len(reply.tokens) == count, f"{len(reply.tokens)} lengths for {count} continuations"
    assert all(math.isfinite(value) and value <= 0 for value in reply.logprobs), f"no log-probabilities: {reply.logprobs}"
    assert min(reply.tokens) >= 1, f"a continuation of {min(reply.tokens)} tokens"
