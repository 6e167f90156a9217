from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from vidground_core import Decision, PluginError, Question, Tally, Verdict
from vidground_core.config import build
from vidground_core.experiments.policies import Composition
from vidground_core.filters.balanced import Balanced
from vidground_core.filters.base import ExpectedErrors, Filter, FilterConfig, Judged, JudgedRows
from vidground_core.filters.budget import Budget
from vidground_core.filters.consensus import Consensus
from vidground_core.filters.controls import RandomMatched, TAOnly
from vidground_core.filters.drop_answerable import DropAnswerable
from vidground_core.filters.iterative_pruning import IterativePruning
from vidground_core.filters.pass_rate import PassRate
from vidground_core.plugins import load_registry
from vidground_core.tables import read

REGISTRY = load_registry(restrict="")


def judged(name: str, right: Mapping[str, tuple[int, int]], *, source: str = "") -> Judged:
    question = Question(name, "?", "a", ("a", "b", "c", "d"), source=source)
    verdicts = {}
    for judge, (correct, trials) in right.items():
        verdicts[judge] = Verdict(name, judge, "mean > 0.5", correct / trials, 2 * correct > trials, {"blind": Tally(trials, correct)})
    return question, verdicts


@pytest.fixture
def rows() -> list[Judged]:
    """40 questions: `one` answers those of even number, `two` those divisible by four; four rotations each."""
    return [judged(f"q{n:02}", {"one": (4 * (n % 2 == 0), 4), "two": (4 * (n % 4 == 0), 4)}, source="ab"[n // 30]) for n in range(40)]


def compose(tmp_path: Path, rows: Sequence[Judged], *policies: tuple[type[Filter[Any]], dict[str, Any]]) -> Composition:
    built = [policy(build(policy.Config, options, policy.name)) for policy, options in policies]
    return Composition(built, lambda: iter(rows), tmp_path / "steps", REGISTRY)


def kept(composition: Composition) -> set[int]:
    return {int(question.id[1:]) for question, decision in composition.decisions() if decision.kept}


EVEN = set(range(0, 40, 2))


def test_each_policy_sees_what_the_one_before_kept(tmp_path: Path, rows: list[Judged]) -> None:
    found = compose(tmp_path, rows, (DropAnswerable, {}), (Budget, {"keep": 0.5, "rank": "random"}))
    decided = list(found.decisions())
    assert [question.id for question, _ in decided] == [question.id for question, _ in rows]
    assert {question.id for question, decision in decided if decision.policy == "drop-answerable"} == {f"q{n:02}" for n in EVEN}
    assert sum(decision.kept for _, decision in decided) == 10
    assert [(step.name, step.reached, step.dropped) for step in found.results] == [("drop-answerable", 40, 20), ("budget", 20, 10)]


def test_order_matters(tmp_path: Path, rows: list[Judged]) -> None:
    budget = (Budget, {"keep": 20, "rank": "random"})
    first = kept(compose(tmp_path / "a", rows, budget, (DropAnswerable, {})))
    second = kept(compose(tmp_path / "b", rows, (DropAnswerable, {}), budget))
    assert second == set(range(40)) - EVEN
    assert first < second


def test_decisions_of_earlier_steps_are_kept_as_tables(tmp_path: Path, rows: list[Judged]) -> None:
    found = compose(tmp_path, rows, (Consensus, {}), (DropAnswerable, {}), (Balanced, {}))
    list(found.decisions())
    first, second = (list(read(tmp_path / "steps" / name, Decision)) for name in ("1-consensus", "2-drop-answerable"))
    assert (len(first), len(second)) == (40, 30)
    assert not (tmp_path / "steps" / "3-balanced").exists()


def test_balanced_restores_the_mix_that_a_policy_before_it_upset(tmp_path: Path, rows: list[Judged]) -> None:
    upset = [judged(question.id, {"one": (4 * (n < 20), 4)}, source=question.source) for n, (question, _) in enumerate(rows)]
    found = kept(compose(tmp_path, upset, (DropAnswerable, {}), (Balanced, {})))
    assert (sum(n < 30 for n in found), sum(n >= 30 for n in found)) == (10, 3)  # 10 of 30 were left of a, so a third of b's 10


def test_a_control_replaces_what_the_policies_before_it_chose(tmp_path: Path, rows: list[Judged]) -> None:
    random = kept(compose(tmp_path / "a", rows, (Consensus, {}), (RandomMatched, {"seed": 1})))
    assert len(random) == 30
    assert random & set(range(0, 40, 4))
    assert kept(compose(tmp_path / "b", rows, (DropAnswerable, {}), (TAOnly, {}))) == EVEN
    cut = kept(compose(tmp_path / "c", rows, (DropAnswerable, {}), (TAOnly, {}), (Budget, {"keep": 5, "rank": "random"})))
    assert len(cut) == 5
    assert cut < EVEN


def test_lucky_drops_add_up_over_the_steps(tmp_path: Path, rows: list[Judged]) -> None:
    found = compose(tmp_path, rows, (DropAnswerable, {}), (Budget, {"keep": 15, "rank": "random"}))
    list(found.decisions())
    errors = found.expected_errors()
    first, second = (step.expected_false_drops for step in found.results)
    assert first == pytest.approx(20 / 3, rel=0.01)  # twenty are wrong in all four rotations, which stand for a third as many right ones
    assert second == pytest.approx(5, abs=0.1)  # what is left is not known, and five of it go by lot
    assert errors.false_drops == pytest.approx((first or 0) + (second or 0))
    assert errors.note.startswith("mixture of knowing and guessing: one knows 33% (right 100%, convinced of 100% of the rest), two ")


def test_ta_only_states_the_vg_questions_it_keeps_by_luck(tmp_path: Path, rows: list[Judged]) -> None:
    lucky = [judged(f"q{n:02}", {"one": (int(n % 4 < 2), 1)}) for n in range(40)]
    found = compose(tmp_path, lucky, (DropAnswerable, {}), (TAOnly, {}))
    list(found.decisions())
    errors = found.expected_errors()
    assert errors.note.startswith("this control drops VG on purpose and keeps 7 by luck; mixture of knowing")
    assert errors.false_drops is None
    assert errors.false_keeps == pytest.approx(20 / 3, rel=0.01)  # 20 missed stand for 20/(K − 1) guessed


def test_one_pass_over_four_options_loses_a_third_of_what_is_missed(tmp_path: Path) -> None:
    rows = [judged(f"q{n}", {"one": (int(n < 50), 1)}) for n in range(80)]
    found = compose(tmp_path, rows, (DropAnswerable, {}))
    list(found.decisions())
    assert found.expected_errors().false_drops == pytest.approx(30 / 3, rel=0.01)


def test_what_cannot_be_told_is_none_with_the_reason(tmp_path: Path, rows: list[Judged]) -> None:
    silent = [(question, {"rules": Verdict(question.id, "rules", "longest", 0.9, n % 2 == 0)}) for n, (question, _) in enumerate(rows)]
    found = compose(tmp_path, silent, (DropAnswerable, {}))
    list(found.decisions())
    assert found.expected_errors() == ExpectedErrors(
        note="not estimated: no judge's right answers can be counted (rules counts no right answers)"
    )


def test_a_set_without_questions_is_said(tmp_path: Path) -> None:
    found = compose(tmp_path, [], (DropAnswerable, {}), (Budget, {}))
    assert list(found.decisions()) == []
    assert found.expected_errors() == ExpectedErrors(note="there are no questions")


def test_pass_rate_and_pruning_are_judged_by_the_other_detectors(rows: list[Judged]) -> None:
    names = ("bias-pruning", "one", "rollouts")
    assert PassRate(build(PassRate.Config, {"detector": "rollouts/ordered"}, "x")).judges(names).detectors == ("bias-pruning", "one")
    assert IterativePruning(build(IterativePruning.Config, {}, "x")).judges(names).detectors == ("one", "rollouts")


class Misordered(Filter[FilterConfig]):
    """Decides as it was told to, for the tests of what is refused."""

    name, version = "drop-answerable", "1"
    Config: ClassVar[type[Any]] = FilterConfig
    ids: ClassVar[tuple[str, ...]] = ()

    def decide(self, rows: JudgedRows) -> Iterator[Decision]:
        return (Decision(name, True, self.name, self.version, "kept") for name in self.ids)


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (("q00", "q02"), "filter 'drop-answerable' decided 'q02' where question 'q01' stands; keep the order, one each"),
        (("q00",), "filter 'drop-answerable' decided nothing where question 'q01' stands; keep the order, one each"),
        (("q00", "q01", "q02"), "filter 'drop-answerable' decided 'q02' after the last question; keep the order, one each"),
    ],
)
def test_decisions_that_do_not_follow_the_questions_are_refused(
    tmp_path: Path, rows: list[Judged], ids: tuple[str, ...], told: str
) -> None:
    policy = type("Wrong", (Misordered,), {"ids": ids})(FilterConfig())
    with pytest.raises(PluginError) as raised:
        list(Composition([policy], lambda: iter(rows[:2]), tmp_path, REGISTRY).decisions())
    assert str(raised.value) == told


def test_a_policy_that_breaks_is_named(tmp_path: Path, rows: list[Judged]) -> None:
    class Broken(Misordered):
        def decide(self, rows: JudgedRows) -> Iterator[Decision]:
            yield from ()
            raise ZeroDivisionError("no")

    with pytest.raises(PluginError, match="filter 'drop-answerable' of plugin 'vidground-core' failed: ZeroDivisionError: no"):
        list(Composition([Broken(FilterConfig())], lambda: iter(rows), tmp_path, REGISTRY).decisions())
