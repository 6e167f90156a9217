"""Policies applied one after another: each sees what the one before kept, and each drop is signed by the policy that made it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidground_core.errors import PluginError
from vidground_core.filters.base import Before, ExpectedErrors, Filter, JudgedRows, Judges, RowFilter, SelectionFilter
from vidground_core.filters.controls import TAOnly
from vidground_core.plugins import Registry, blame
from vidground_core.records import Decision, Question, Verdict
from vidground_core.tables import TableWriter, read

if TYPE_CHECKING:
    from vidground_core.filters.luck import Counts, Knowledge


class _Taker:
    """Hands out one step's decisions question by question, and checks that they follow the questions."""

    def __init__(self, policy: Filter[Any], plugin: str, decisions: Iterator[Decision] | None) -> None:
        self.policy, self.plugin = policy, plugin
        self._decisions = decisions

    def take(self, question: Question, verdicts: Mapping[str, Verdict]) -> Decision:
        name = self.policy.name
        with blame("filter", name, self.plugin):
            if self._decisions is not None:
                decision = next(self._decisions, None)
            else:
                decision = self.policy.decide_row(question, verdicts) if isinstance(self.policy, RowFilter) else None
        if decision is None or decision.question != question.id:
            said = "nothing" if decision is None else repr(decision.question)
            raise PluginError(f"filter {name!r} decided {said} where question {question.id!r} stands; keep the order, one each")
        return decision

    def close(self) -> None:
        with blame("filter", self.policy.name, self.plugin):
            left = next(self._decisions, None) if self._decisions is not None else None
        if left is not None:
            raise PluginError(f"filter {self.policy.name!r} decided {left.question!r} after the last question; keep the order, one each")


@dataclass
class StepResult:
    """What one policy did: questions that reached it, those it dropped, and of these the VG questions expected (None: not known)."""

    name: str
    version: str
    reached: int = 0
    dropped: int = 0
    expected_false_drops: float | None = None


class Composition:
    """Policies over one set. `decisions()` once, then `results` and `expected_errors()`; a byte or two a question is held in memory.

    Decisions of all steps but the last are kept as tables in `folder`. After a policy that `replaces` (a control) only what it and later
    ones decide counts.
    """

    def __init__(self, policies: Sequence[Filter[Any]], rows: JudgedRows, folder: Path, registry: Registry) -> None:
        from vidground_core.filters.luck import Counts

        self.policies, self.rows, self.folder, self.registry = tuple(policies), rows, folder, registry
        self.results = [StepResult(policy.name, policy.version) for policy in policies]
        self._counts: Counts = Counts()
        self._dropped_by = array("b")
        replacing = [number for number, policy in enumerate(policies) if isinstance(policy, SelectionFilter) and policy.replaces]
        self._first = replacing[-1] if replacing else 0

    def decisions(self) -> Iterator[tuple[Question, Decision]]:
        """Every question with the decision that counts: that of the policy that dropped it, or the last one's."""
        before: Before | None = None
        for number in range(len(self.policies) - 1):
            before = self._spooled(number, before)
        last = len(self.policies) - 1
        stored = [self._stored(number) for number in range(self._first, last)]
        takers = [*stored, self._taker(last, before)]
        for place, (question, verdicts) in enumerate(self._counted(first=last == 0)):
            self._dropped_by.append(-1)
            for number, taker in enumerate(takers, self._first):
                decision = taker.take(question, verdicts)
                if number == last:
                    self._note(last, decision)
                if not decision.kept:
                    self._dropped_by[place] = number
                    break
            yield question, decision
        for taker in takers:
            taker.close()

    def expected_errors(self) -> ExpectedErrors:
        """The sum over the steps, each judged by the judges that its policy reads; what is kept counts by the strictest of them.

        For the control that keeps TA, false keeps are the VG questions that it keeps, and there are no false drops.
        """
        import numpy as np

        dropped_by = np.frombuffer(self._dropped_by, dtype=np.int8)
        if not len(dropped_by):
            return ExpectedErrors(note="there are no questions")
        cache: dict[Judges, Knowledge | str] = {}
        estimates = [self._knowledge(number, cache) for number in range(len(self.policies))]
        for number in range(self._first, len(self.policies)):
            self.results[number].expected_false_drops = _drops(estimates[number], dropped_by == number)
        counting = estimates[self._first :]
        told = [found for found in counting if not isinstance(found, str)]
        drops = [result.expected_false_drops for result in self.results[self._first :]]
        notes = dict.fromkeys(found if isinstance(found, str) else found.note for found in counting)
        known = [count for count in drops if count is not None]
        if len(known) < len(drops) or not told:
            return ExpectedErrors(note=f"not estimated: {'; '.join(notes)}")
        kept = np.max([found.posteriors for found in told], axis=0)[dropped_by < 0].sum()
        if isinstance(self.policies[self._first], TAOnly):
            self.results[self._first].expected_false_drops = None
            lucky = float((1 - told[-1].posteriors[dropped_by < 0]).sum())
            return ExpectedErrors(None, lucky, f"this control drops VG on purpose and keeps {lucky:.0f} by luck; {'; '.join(notes)}")
        return ExpectedErrors(float(sum(known)), float(kept), "; ".join(notes))

    def _knowledge(self, number: int, cache: dict[Judges, Knowledge | str]) -> Knowledge | str:
        from vidground_core.filters.luck import knowledge

        policy = self.policies[number]
        follows = isinstance(policy, SelectionFilter) and policy.replaces and number > 0
        judges = self.policies[number - 1 if follows else number].judges(self._counts.detectors)
        if judges not in cache:
            cache[judges] = knowledge(self._counts, judges)
        return cache[judges]

    def _spooled(self, number: int, before: Before | None) -> Before:
        taker = self._taker(number, before)
        replaces = self._replaces(number)
        kept = bytearray()
        with TableWriter(self._table(number), Decision) as writer:
            for place, (question, verdicts) in enumerate(self._counted(first=number == 0)):
                if before is not None and not before.kept[place] and not replaces:
                    kept.append(0)
                    continue
                decision = taker.take(question, verdicts)
                writer.add(decision)
                self._note(number, decision)
                kept.append(decision.kept)
        taker.close()
        return Before(kept, (*(before.policies if before else ()), self.policies[number].name))

    def _counted(self, *, first: bool) -> Iterator[tuple[Question, Mapping[str, Verdict]]]:
        for question, verdicts in self.rows():
            if first:
                self._counts.add(question, verdicts)
            yield question, verdicts

    def _note(self, number: int, decision: Decision) -> None:
        self.results[number].reached += 1
        self.results[number].dropped += not decision.kept

    def _replaces(self, number: int) -> bool:
        policy = self.policies[number]
        return isinstance(policy, SelectionFilter) and policy.replaces

    def _table(self, number: int) -> Path:
        return self.folder / f"{number + 1}-{self.policies[number].name}"

    def _stored(self, number: int) -> _Taker:
        policy = self.policies[number]
        return _Taker(policy, self.registry.origin("filter", policy.name), read(self._table(number), Decision))

    def _taker(self, number: int, before: Before | None) -> _Taker:
        policy = self.policies[number]
        plugin = self.registry.origin("filter", policy.name)
        if isinstance(policy, SelectionFilter):
            with blame("filter", policy.name, plugin):
                selected = policy.select(self.rows, before)
            skips = before is not None and not policy.replaces
            return _Taker(policy, plugin, _only(selected, before.kept) if before is not None and skips else selected)
        if isinstance(policy, RowFilter) and type(policy).decide is RowFilter.decide:
            return _Taker(policy, plugin, None)
        with blame("filter", policy.name, plugin):
            return _Taker(policy, plugin, policy.decide(_reached(self.rows, before)))


def _drops(found: Knowledge | str, dropped: Any) -> float | None:
    if not dropped.any():
        return 0.0
    return None if isinstance(found, str) else float((1 - found.posteriors[dropped]).sum())


def _only(decisions: Iterator[Decision], kept: Sequence[int]) -> Iterator[Decision]:
    for place, decision in enumerate(decisions):
        if place < len(kept) and kept[place]:
            yield decision


def _reached(rows: JudgedRows, before: Before | None) -> JudgedRows:
    if before is None:
        return rows
    kept = before.kept
    start: Callable[[], Iterator[tuple[Question, Mapping[str, Verdict]]]] = rows
    return lambda: (row for place, row in enumerate(start()) if kept[place])
