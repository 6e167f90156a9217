"""What every detector must do: judge each question once, purely, without knowing the answer when it asks."""
# ruff: noqa: S101

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vidground_core.detectors.base import CorpusDetector, Detector, ProbeConfig, ProbeDetector
from vidground_core.engines.base import CAPABILITIES, Engine
from vidground_core.records import Ask, Question, Tally, Verdict
from vidground_core.testing.contracts.component import ComponentContract
from vidground_core.testing.corpus import ListCorpus, MemoryStages, small_corpus
from vidground_core.testing.fakes import FakeEngine, FakeEngineConfig
from vidground_core.testing.probing import ask, run_detector


class DetectorContract(ComponentContract):
    """Name `component`; set `options` where the defaults do not do, `corpus` where the small one has no fitting questions."""

    @property
    def corpus(self) -> Sequence[Question]:
        """The questions judged."""
        return small_corpus()

    @property
    def engine(self) -> Engine[Any]:
        """The engine that answers probes: by default one that knows nothing of what is right."""
        return FakeEngine(FakeEngineConfig())

    def judge(self, questions: Sequence[Question], engine: Engine[Any] | None = None) -> list[Verdict]:
        """The verdicts of a freshly built detector."""
        return run_detector(self.build(), questions, engine or self.engine)

    def test_is_one_of_the_two_kinds(self) -> None:
        """A detector asks a model, or needs all questions at once."""
        assert issubclass(self.component, Detector), f"{self.component.__qualname__} is not a Detector"
        assert issubclass(self.component, ProbeDetector | CorpusDetector), "derive from ProbeDetector or CorpusDetector"
        if issubclass(self.component, ProbeDetector):
            assert issubclass(self.component.Config, ProbeConfig), "the options of a ProbeDetector derive from ProbeConfig"

    def test_needs_are_known_capabilities(self) -> None:
        """A probe detector's needs are checked against the engine before anything is asked."""
        detector = self.build()
        if isinstance(detector, ProbeDetector):
            for can in (frozenset(CAPABILITIES), frozenset({"text"})):
                unknown = detector.adapted(can).needs - set(CAPABILITIES)
                assert not unknown, f"needs {sorted(unknown)}, which is none of {', '.join(CAPABILITIES)}"

    def test_one_verdict_a_question_in_order(self) -> None:
        """Tables of verdicts lie beside the questions, row by row."""
        verdicts = self.judge(self.corpus)
        assert [verdict.question for verdict in verdicts] == [question.id for question in self.corpus], (
            "verdicts do not follow the questions"
        )
        name = self.component.name
        others = {verdict.detector for verdict in verdicts} - {name}
        assert not others, f"verdicts are signed {sorted(others)}, not {name!r}"

    def test_numbers_make_sense(self) -> None:
        """Scores in their ranges, tallies that add up, a yes or no only where something was judged."""
        for verdict in self.judge(self.corpus):
            _require_sense(verdict)

    def test_same_input_same_verdict(self) -> None:
        """Resume replays a detector; the replay must come out the same."""
        assert self.judge(self.corpus) == self.judge(self.corpus), "a second run gives other verdicts: leave time and unseeded chance out"

    def test_tags_change_nothing(self) -> None:
        """Data sets keep rationales and ground truth in tags."""
        changed = [replace(question, tags={"label": "other", "rationale": "because"}) for question in self.corpus]
        assert self.judge(self.corpus) == self.judge(changed), "a verdict depends on the question's tags"

    def test_asks_do_not_know_the_answer(self) -> None:
        """Another gold answer must not change what a model is asked, or it is told what to say. A judge is shown the answer."""
        if not issubclass(self.component, ProbeDetector):
            return
        for question in self.corpus:
            others = [option for option in question.options if option != question.answer] or [question.answer + "1"]
            if question.options and others == [question.answer + "1"]:
                continue
            asked, changed = self._asks(question), self._asks(replace(question, answer=others[0], tags={}))
            assert asked == changed, f"question {question.id!r} is asked differently when its answer is another"

    def _asks(self, question: Question) -> list[Ask]:
        detector = self.build().adapted(self.engine.can)
        rounds = detector.judge(question, ListCorpus(self.corpus))
        asked: list[Ask] = []
        try:
            probes = next(rounds)
            while True:
                asked += [probe.ask for probe in probes if probe.ask.role != "judge"]
                probes = rounds.send(ask(self.engine, [probe.ask for probe in probes]))
        except StopIteration:
            return asked

    def test_failed_replies_are_no_answers(self) -> None:
        """An engine that fails has said nothing: no question is judged by it, none is called answered."""
        if not issubclass(self.component, ProbeDetector):
            return
        asking = [question for question in self.corpus if self._asks(question)]
        for verdict in self.judge(asking, FakeEngine(FakeEngineConfig(failing=1.0))):
            assert verdict.answered is None, f"{verdict.question!r} is called answered={verdict.answered} though every reply failed"
            assert verdict.shortcut is None, f"{verdict.question!r} has shortcut {verdict.shortcut} though every reply failed"

    def test_stages_are_read_back(self) -> None:
        """A corpus detector that starts again from its stages comes to the same verdicts."""
        if not issubclass(self.component, CorpusDetector):
            return
        stages = MemoryStages()
        first = run_detector(self.build(), self.corpus, self.engine, stages)
        assert run_detector(self.build(), self.corpus, self.engine, stages) == first, "other verdicts when stages are read back"


def _require_sense(verdict: Verdict) -> None:
    where = f"verdict on {verdict.question!r}"
    assert verdict.rule, f"{where} names no rule"
    if verdict.shortcut is None:
        assert verdict.answered is None, f"{where}: answered={verdict.answered} without a shortcut score"
        assert verdict.evidence, f"{where} judges nothing and does not say why: put the reason into evidence"
    else:
        assert 0 <= verdict.shortcut <= 1, f"{where}: shortcut {verdict.shortcut} is not in 0..1"
    strange = [name for name, value in verdict.scores.items() if not math.isfinite(value)]
    assert not strange, f"{where}: scores {strange} are not finite"
    for condition, tally in verdict.conditions.items():
        _require_sum(tally, f"{where}, condition {condition!r}")


def _require_sum(tally: Tally, where: str) -> None:
    parts = (tally.correct, tally.refused, tally.unparsed, tally.failed)
    assert min(parts) >= 0, f"{where}: a count is negative"
    assert sum(parts) <= tally.trials, f"{where}: {sum(parts)} outcomes of {tally.trials} trials"
    assert tally.p_gold is None or 0 <= tally.p_gold <= 1, f"{where}: p_gold {tally.p_gold} is not in 0..1"
