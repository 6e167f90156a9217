from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from vidground_core import Ask, Clip, Engine, Question, Reply
from vidground_core.detectors.base import Corpus, ProbeConfig, ProbeDetector, Rounds
from vidground_core.records import Probe, Verdict
from vidground_core.testing import EngineContract, FakeEngine, FakeEngineConfig, ListCorpus, ask, run_probe, small_corpus


class SightlessEngine(FakeEngine):
    """The fake engine as one without eyes: it never opens a video, so it cannot fail on a missing one."""

    can = frozenset({"text", "logprobs", "sampling"})


class TestFakeEngine(EngineContract):
    component = SightlessEngine


def engine(**options: object) -> FakeEngine:
    return FakeEngine(FakeEngineConfig.model_validate(options))


def asks(count: int) -> list[Ask]:
    return [Ask((("user", (f"{number}?\nA. x\nB. y",)),)) for number in range(count)]


def test_a_reply_depends_on_the_ask_and_the_seed_alone() -> None:
    assert ask(engine(), asks(20)) == ask(engine(), asks(20))
    assert ask(engine(), asks(20)) != ask(engine(seed=1), asks(20))
    assert {reply.text for reply in ask(engine(), asks(20))} == {"A", "B"}
    elsewhere = [Ask((("user", (Clip(path, digest="d"), "?\nA. x\nB. y")),)) for path in ("one.mp4", "two.mp4")]
    assert len(set(ask(engine(), elsewhere))) == 1


def test_shares_of_failures_and_refusals_are_met() -> None:
    failed = [reply.status for reply in ask(engine(failing=0.3), asks(400))].count("failed")
    refused = ["cannot determine" in reply.text for reply in ask(engine(refusing=0.3), asks(400))].count(True)
    assert 80 < failed < 160
    assert 80 < refused < 160


def test_a_favourite_wins() -> None:
    scored = Ask((("user", ("?",)),), ("A", "B"))
    (reply,) = ask(engine(favourite="B"), [scored])
    assert reply.logprobs[1] > reply.logprobs[0]
    assert {reply.text for reply in ask(engine(favourite="B"), asks(5))} == {"B"}


class Doubling(Engine[FakeEngineConfig]):
    """Answers twice, or not at all."""

    name, version = "doubling", "1"
    identity = "doubling"
    times = 2

    async def answer(self, asks: AsyncIterator[tuple[str, Ask]]) -> AsyncIterator[tuple[str, Reply]]:
        async for token, _ in asks:
            for _ in range(self.times):
                yield token, Reply("answered", text="A")


def test_an_engine_that_answers_not_exactly_once_is_found_out() -> None:
    with pytest.raises(AssertionError, match="token '0', which it was not given or had answered already"):
        ask(Doubling(FakeEngineConfig()), asks(1))
    Doubling.times = 0
    with pytest.raises(AssertionError, match="answered 0 of 2 asks"):
        ask(Doubling(FakeEngineConfig()), asks(2))


class TwoRounds(ProbeDetector[ProbeConfig]):
    """Asks again about its first answer."""

    name, version = "two-rounds", "1"

    def judge(self, question: Question, corpus: Corpus) -> Rounds:
        first = yield [Probe(Ask((("user", ("first\nA. x\nB. y",)),)))]
        second: Sequence[Reply] = yield [Probe(Ask((("user", (first[0].text, str(len(corpus)), "\nA. x\nB. y")),)))]
        return Verdict(question.id, self.name, "any", None, None, evidence=(first[0].text, second[0].text))


def test_rounds_are_driven_to_their_end() -> None:
    question = small_corpus()[0]
    verdict = run_probe(TwoRounds(ProbeConfig()), question, engine(favourite="B"), ListCorpus(small_corpus()))
    assert verdict.evidence == ("B", "B")


def test_the_small_corpus_has_every_shape_of_question() -> None:
    corpus = small_corpus()
    assert len({question.id for question in corpus}) == len(corpus) == 36
    assert len({question.group for question in corpus}) == 12
    assert {len(question.options) for question in corpus} == {0, 1, 2, 3, 4, 5}
    assert {question.kind for question in corpus} == {"multiple choice", "numerical", "free-form"}
    assert any(not question.media for question in corpus)
    assert any(medium.type == "image" for question in corpus for medium in question.media)
    assert all(question.answer in question.options for question in corpus if question.options)


def test_other_media_come_from_another_group() -> None:
    corpus = ListCorpus(small_corpus())
    for question in corpus:
        media = corpus.other_media(question, 1)
        assert media == corpus.other_media(question, 1)
        assert media
        assert media not in [other.media for other in corpus if other.group == question.group]
    assert ListCorpus(small_corpus()[:1]).other_media(small_corpus()[0], 1) == ()
