"""The section on real text: how its sample and its numbers are made, and that the page holds it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vidground_core import Question, Tally, Verdict

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "explanation" / "detector-accuracy.md").read_text(encoding="utf-8")
OPTIONS = ("long one", "b", "c", "d")


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_real_text", DOCS / "build_real_text.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def question(number: int, answer: str = "b") -> Question:
    return Question(f"q{number}", "?", answer, OPTIONS, group=f"v{number}")


def judged(known: str, learned: str) -> Any:
    """Questions of which each judge has those marked + right; only `question-only` says "answered" wherever it is right."""

    def verdict(row: Question, name: str, mark: str, *, answered: bool) -> Verdict:
        return Verdict(row.id, name, "mean", 0.5, answered, {"blind": Tally(1, correct=int(mark == "+"))})

    rows = [question(number, "long one" if number == 0 else "b") for number in range(len(known))]
    return [
        (
            row,
            {
                "blind-llm": verdict(row, "blind-llm", first, answered=False),
                "question-only": verdict(row, "question-only", second, answered=second == "+"),
            },
        )
        for row, first, second in zip(rows, known, learned, strict=True)
    ]


def test_the_page_holds_the_section_and_the_section_its_template(builder: ModuleType) -> None:
    section = builder.SECTION.read_text(encoding="utf-8")
    assert section in PAGE
    template = (DOCS / "real-text.template.txt").read_text(encoding="utf-8")
    assert all(line in section.splitlines() for line in template.splitlines() if "{" not in line)
    assert "{" not in section
    assert " ".join(builder.BLIND) in section


def test_each_set_stands_in_all_tables_with_its_number_of_rows(builder: ModuleType) -> None:
    section = builder.SECTION.read_text(encoding="utf-8")
    for each in builder.SETS.values():
        assert f"| {each.title} | {each.rows:,} |" in section
        assert section.count(f"\n| {each.title} |") == 3


def test_a_larger_sample_holds_a_smaller_one_whatever_the_order(builder: ModuleType) -> None:
    rows = [question(number) for number in range(50)]
    open_ended = Question("open", "?", "b", kind="free-form")
    ten = builder.sample([*rows, open_ended], 10)
    assert builder.sample(rows[::-1], 20)[:10] == ten
    assert ten != rows[:10]
    assert len(builder.sample([*rows, open_ended], 100)) == 50


def test_a_row_compares_the_judges_on_the_same_questions(builder: ModuleType) -> None:
    found = judged("++--", "+---")
    line = builder.accuracy_row("x", found, [row for row, _ in found]).split(" | ")
    assert line[:4] == ["| x", "4", "4", "25.0%"]
    assert [cell.split(" ")[0] for cell in line[4:]] == ["50.0%", "25.0%", "75.0%", "25.0%"]


def test_agreement_is_of_both_the_verdict_and_what_is_right(builder: ModuleType) -> None:
    line = builder.agreement_row("x", judged("++--", "+---")).split(" | ")
    assert line[1:3] == ["0.0%", "25.0%"]
    assert [cell.split(" ")[0] for cell in line[3:]] == ["0.00", "0.50", "-25.0"]
    assert "not defined" in builder.agreement_row("x", judged("----", "----"))


def test_calibration_is_compared_on_the_same_replies(builder: ModuleType) -> None:
    def said(row: Question, shares: str, *, right: bool) -> Verdict:
        return Verdict(
            row.id, "blind-llm", "mean", 0.5, right, {"blind": Tally(1, correct=int(right))}, evidence=(f"blind ABCD: P {shares}",)
        )

    plain, known = "0.40 0.30 0.20 0.10, 'long one', wrong", "0.20 0.30 0.20 0.30 calibrated, 'b', right"
    found = [
        (row, {"letters": said(row, plain, right=number == 3), "blind-llm": said(row, known, right=number > 1)})
        for number, row in enumerate(question(number) for number in range(4))
    ]
    line = builder.calibration_row("x", found).split(" | ")
    assert [cell.split(" ")[0] for cell in line[1:4]] == ["25.0%", "50.0%", "+25.0"]
    assert line[4:] == ["A 100%", "B 100% |"]


def test_a_section_takes_the_place_of_the_old_one(builder: ModuleType) -> None:
    page = "a\n\n## Not on this page\n\nb\n"
    once = builder.placed(page, "## Real text\n\n1\n\n")
    assert once == "a\n\n## Real text\n\n1\n\n## Not on this page\n\nb\n"
    assert builder.placed(once, "## Real text\n\n2\n\n") == once.replace("1", "2")
