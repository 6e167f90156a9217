"""The rates of a card are an audit's own, read by columns."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from vidground_core import Decision, InputError, Question, Verdict
from vidground_core.experiments.audit import audit
from vidground_core.experiments.judge_rates import judge_rates
from vidground_core.records import Tally
from vidground_core.runs.judged import judged_rows
from vidground_core.tables import TableWriter, write_part

LETTERS = ("a", "b", "c", "d")


def _question(number: int) -> Question:
    options = LETTERS[: number % 4 + 1] if number % 5 else ()
    return Question(
        f"q{number}", "?", "a", options, "multiple choice" if options else "free-form", group=f"v{number // 3}" if number % 7 else ""
    )


def _conditions(draw: random.Random) -> tuple[bool | None, Mapping[str, Tally]]:
    trials = draw.randrange(4)
    tally = Tally(trials, correct := draw.randrange(trials + 1), failed=draw.randrange(trials - correct + 1))
    answered = draw.choice((True, False, None))
    return answered, draw.choice(({}, {"blind": tally}, {"blind": tally, "none": Tally()}, {"blind": tally, "ordered": Tally(1, 1)}))


def _judged(folder: Path, count: int, *, plain: bool = False) -> list[Question]:
    """A detection of three judges by hand: `every` judged all, `some` not all, `right` is always right."""
    draw = random.Random(count)
    questions = [_question(number) for number in range(count)]
    tables = {"questions": Question, "verdicts/every": Verdict, "verdicts/some": Verdict, "verdicts/right": Verdict}
    writers = {name: TableWriter(folder / name, kind, rows_per_part=1_000) for name, kind in tables.items()}  # type: ignore[type-var]
    for question in questions:
        writers["questions"].add(question)
        correct = draw.randrange(2)
        told = {"every": (bool(correct), {"blind": Tally(1, correct)}), "right": (True, {"blind": Tally(1, 1)})}
        told["some"] = told["every"] if plain else _conditions(draw)
        for name, (answered, conditions) in told.items():
            writers[f"verdicts/{name}"].add(Verdict(question.id, name, "all", None, answered, conditions))
    for writer in writers.values():
        writer.__exit__(None)
    return questions


@pytest.mark.parametrize(("count", "plain"), [(700, False), (1, False), (18_000, True)])
def test_they_are_the_audit_s_own_numbers(tmp_path: Path, count: int, plain: bool) -> None:
    _judged(tmp_path, count, plain=plain)
    for ours, theirs in zip(judge_rates(tmp_path), audit(judged_rows(tmp_path), "").judges, strict=True):
        assert (ours.name, ours.rule, ours.n, ours.answered) == (theirs.name, "all", theirs.n, theirs.answered)
        assert ours.chance == pytest.approx(theirs.chance)
        assert ours.corrected == (pytest.approx(theirs.corrected.value) if theirs.corrected else None)
        for name in ("value", "low", "high"):
            assert getattr(ours.accuracy, name, None) == pytest.approx(getattr(theirs.accuracy, name, None), abs=1e-12)


def test_kept_and_dropped_questions_count_alike(tmp_path: Path) -> None:
    questions = _judged(tmp_path, 700)
    before = judge_rates(tmp_path)
    decisions = [Decision(question.id, number % 3 > 0, "p", "1", "why") for number, question in enumerate(questions)]
    for name, keep in (("kept", True), ("dropped", False)):
        chosen = [question for question, decision in zip(questions, decisions, strict=True) if decision.kept == keep]
        write_part(tmp_path / name / "part-00000.parquet", chosen, Question)
    write_part(tmp_path / "decisions" / "part-00000.parquet", decisions, Decision)
    assert judge_rates(tmp_path) == before
    write_part(tmp_path / "dropped" / "part-00000.parquet", questions[:2], Question)
    with pytest.raises(InputError, match="the decisions do not fit the questions kept and dropped; run vg filter again"):
        judge_rates(tmp_path)


def test_verdicts_on_other_questions_are_refused(tmp_path: Path) -> None:
    questions = _judged(tmp_path, 3)
    swapped = [Verdict(question.id, "every", "all", None, True) for question in reversed(questions)]
    write_part(tmp_path / "verdicts" / "every" / "part-00000.parquet", swapped, Verdict)
    with pytest.raises(InputError, match="verdicts/every: its rows are not those of the questions, in their order; delete that folder"):
        judge_rates(tmp_path)
