"""A filter is a pure function of questions and verdicts: every decision can be taken again from what is on disk."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias, TypeVar

from vidground_core.component import Component
from vidground_core.config import ComponentConfig
from vidground_core.records import Decision, Question, Verdict

Judged: TypeAlias = tuple[Question, Mapping[str, Verdict]]
JudgedRows: TypeAlias = Callable[[], Iterator[Judged]]


@dataclass(frozen=True, slots=True)
class ExpectedErrors:
    """How many decisions are probably wrong by luck: VG questions dropped and TA questions kept; None where it cannot be told."""

    false_drops: float | None = None
    false_keeps: float | None = None
    note: str = "this policy gives no estimate"


@dataclass(frozen=True, slots=True)
class Judges:
    """Whose right answers tell how many drops were luck: a question is TA where at least `least` of the `detectors` know its answer."""

    detectors: tuple[str, ...]
    least: int = 1


class FilterConfig(ComponentConfig):
    """Options every filter has."""


FilterConfigT = TypeVar("FilterConfigT", bound=FilterConfig)


class Filter(Component[FilterConfigT]):
    """Base of filters. `reads_tags` is True for an oracle, which decides by the data set's own labels; no other may look at tags."""

    Config: ClassVar[type[Any]] = FilterConfig
    reads_tags: ClassVar[bool] = False

    @abstractmethod
    def decide(self, rows: JudgedRows) -> Iterator[Decision]:
        """One decision a question, in order. `rows()` starts a fresh pass over all questions with their verdicts by detector name."""
        raise NotImplementedError

    def judges(self, detectors: Collection[str]) -> Judges:
        """Of the detectors that there are verdicts of, those whose right answers say what is TA; all of them by default."""
        return Judges(tuple(sorted(detectors)))

    def decision(self, question: Question, kept: bool, reason: str, numbers: Mapping[str, float] | None = None) -> Decision:
        """A decision signed with this policy's name and version. Rows are counted by `reason`; a row's own `numbers` stand apart."""
        return Decision(question.id, kept, self.name, self.version, reason, numbers or {})


class RowFilter(Filter[FilterConfigT]):
    """Base of filters that look at one question at a time."""

    @abstractmethod
    def decide_row(self, question: Question, verdicts: Mapping[str, Verdict]) -> Decision:
        """The decision on one question."""
        raise NotImplementedError

    def decide(self, rows: JudgedRows) -> Iterator[Decision]:
        """`decide_row` over one pass."""
        for question, verdicts in rows():
            yield self.decide_row(question, verdicts)


@dataclass(frozen=True, slots=True)
class Before:
    """What policies applied earlier have kept of the whole set: 1 or 0 a question, in order; `policies` are their names."""

    kept: Sequence[int]
    policies: tuple[str, ...] = field(default=())


class SelectionFilter(Filter[FilterConfigT]):
    """Base of filters that look at the whole set beside what earlier policies kept of it.

    Where `replaces` is True, it takes a selection of its own in place of theirs (a control); otherwise what they dropped stays dropped.
    """

    replaces: ClassVar[bool] = False

    @abstractmethod
    def select(self, rows: JudgedRows, before: Before | None) -> Iterator[Decision]:
        """One decision on every question of the whole set, in order; `before` is None where this is the first policy."""
        raise NotImplementedError

    def decide(self, rows: JudgedRows) -> Iterator[Decision]:
        """`select` with nothing before it."""
        return self.select(rows, None)
