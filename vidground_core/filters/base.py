"""A filter is a pure function of questions and verdicts: every decision can be taken again from what is on disk."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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


class FilterConfig(ComponentConfig):
    """Options every filter has."""


FilterConfigT = TypeVar("FilterConfigT", bound=FilterConfig)


class Filter(Component[FilterConfigT]):
    """Base of filters."""

    Config: ClassVar[type[Any]] = FilterConfig

    @abstractmethod
    def decide(self, rows: JudgedRows) -> Iterator[Decision]:
        """One decision a question, in order. `rows()` starts a fresh pass over all questions with their verdicts by detector name."""
        raise NotImplementedError

    def expected_errors(self, rows: JudgedRows) -> ExpectedErrors:
        """How many of the decisions on these rows are probably wrong by luck."""
        del rows
        return ExpectedErrors()


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
