"""What every filter must be: a pure function of questions and verdicts, with a reason for each row."""
# ruff: noqa: S101

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from vidground_core.filters.base import Filter, Judged, JudgedRows
from vidground_core.records import Decision, Question, Tally, Verdict
from vidground_core.testing.contracts.component import ComponentContract
from vidground_core.testing.corpus import small_corpus


class FilterContract(ComponentContract):
    """Name `component`; set `detectors` where the filter reads verdicts of certain names."""

    @property
    def detectors(self) -> Sequence[str]:
        """Detectors whose verdicts the rows carry."""
        return ("blind-vlm", "question-only")

    @property
    def rows(self) -> list[Judged]:
        """Questions with verdicts: answered, not answered, and undecided ones, evenly."""
        return [(question, self._verdicts(number, question)) for number, question in enumerate(small_corpus())]

    def _verdicts(self, number: int, question: Question) -> Mapping[str, Verdict]:
        verdicts = {}
        for place, name in enumerate(self.detectors):
            answered = (True, False, None)[(number // (place + 1)) % 3]
            shortcut = {True: 0.9, False: 0.2, None: None}[answered]
            tally = Tally(4, 4 if answered else 1, failed=0 if answered is not None else 3, p_gold=shortcut)
            verdicts[name] = Verdict(question.id, name, "mean > 0.5", shortcut, answered, {"blind": tally}, evidence=("made up",))
        return verdicts

    def decide(self, rows: Sequence[Judged]) -> list[Decision]:
        """The decisions of a freshly built filter."""
        policy = self.build()
        assert isinstance(policy, Filter), f"{self.component.__qualname__} is not a Filter"
        return list(policy.decide(_passes(rows)))

    def test_one_decision_a_question_in_order(self) -> None:
        """Decisions lie beside the questions, row by row."""
        decided = [decision.question for decision in self.decide(self.rows)]
        assert decided == [question.id for question, _ in self.rows], "decisions do not follow the questions"

    def test_decisions_are_signed_and_explained(self) -> None:
        """Every dropped row can be explained from its decision."""
        for decision in self.decide(self.rows):
            signed = (decision.policy, decision.version)
            assert signed == (self.component.name, self.component.version), f"the decision on {decision.question!r} is signed {signed}"
            assert decision.reason.strip(), f"the decision on {decision.question!r} gives no reason"
            strange = [name for name, value in decision.numbers.items() if not math.isfinite(value)]
            assert not strange, f"the decision on {decision.question!r}: numbers {strange} are not finite"

    def test_same_verdicts_same_decisions(self) -> None:
        """A decision can be taken again from what is on disk."""
        assert self.decide(self.rows) == self.decide(self.rows), "a second pass decides otherwise: draw only from a configured seed"

    def test_tags_change_nothing(self) -> None:
        """Tags hold the ground truth that filters are measured against; only an oracle that says so reads them."""
        if getattr(self.component, "reads_tags", False):
            return
        changed = [(replace(question, tags={"label": "ta"}), verdicts) for question, verdicts in self.rows]
        assert self.decide(self.rows) == self.decide(changed), "a decision depends on the question's tags"

    def test_nothing_in_nothing_out(self) -> None:
        """An empty set is a set."""
        assert self.decide([]) == [], "decisions about no questions"


def _passes(rows: Sequence[Judged]) -> JudgedRows:
    def start() -> Iterator[Judged]:
        return iter(rows)

    return start
