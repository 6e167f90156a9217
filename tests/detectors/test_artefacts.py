"""Rules that name artefacts: each alone, none reads its own answer, agreement with what was planted, and no leak."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from vidground_core import ConfigError, Question, Verdict
from vidground_core.config import build
from vidground_core.datasets.planted.loader import PlantedConfig, PlantedLoader
from vidground_core.detectors.artefact_rules import elimination, longest, overlap
from vidground_core.detectors.artefacts import Artefacts, ArtefactsConfig, artefact, named
from vidground_core.testing import DetectorContract, run_detector

OPTIONS = ("alpha", "beta", "gamma", "delta")
NAMES = {
    "longest-option": "longest",
    "word-overlap": "overlap",
    "elimination": "elimination",
    "position": "position",
    "give-away": "give-away",
}


class TestArtefacts(DetectorContract):
    component = Artefacts


def judged(questions: Sequence[Question], **options: Any) -> list[Verdict]:
    return run_detector(Artefacts(build(ArtefactsConfig, options, "artefacts")), questions, None)  # type: ignore[arg-type]


def planted(videos: int, **options: Any) -> list[Question]:
    loader = PlantedLoader(build(PlantedConfig, options, "planted"))
    return [question for number in range(videos) for question in loader.video(number)[1]]


def asked(text: str, *options: str) -> Question:
    return Question("q", text, options[0], options)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("red", "it is clearly red", "blue"), 1),
        (("a", "abc"), None),
        (("a long one", "a long two", "x"), None),
        (("ten letter", "fifteen letters"), 1),
        (("ten letter", "fourteen lette"), None),
    ],
)
def test_the_longest_option_is_clearly_longer(options: tuple[str, ...], found: int | None) -> None:
    assert longest(asked("what?", *options)) == found


@pytest.mark.parametrize(
    ("text", "options", "found"),
    [
        ("In the red clip, what is it?", ("blue", "Red!", "green"), 1),
        ("Is it red or blue?", ("blue", "red", "green"), None),
        ("What is the dog on?", ("the dog", "the cat"), 0),
        ("What is the cat on?", ("on the mat", "under the bed"), None),
        ("in the red then blue clip, which?", ("blue then red", "red then blue", "white then green"), 1),
        ("What are they?", ("they are", "it is"), None),
    ],
)
def test_overlap_is_of_one_option_only(text: str, options: tuple[str, ...], found: int | None) -> None:
    assert overlap(asked(text, *options)) == found


@pytest.mark.parametrize(
    ("text", "options", "found"),
    [
        ("neither red nor blue: which color?", ("red", "green", "blue"), 1),
        ("neither red: which color?", ("red", "green", "blue"), None),
        ("not red: which color?", ("red", "green"), None),
    ],
)
def test_elimination_leaves_one_option(text: str, options: tuple[str, ...], found: int | None) -> None:
    assert elimination(asked(text, *options)) == found


def test_places_that_are_right_after_a_beginning_are_found() -> None:
    draw = random.Random(0)
    rows = []
    for number in range(120):
        quiz = number % 3 == 0
        options = tuple(draw.sample(OPTIONS, 4))
        text = f"{'Quiz: ' if quiz else ''}what is {number}?"
        rows.append(Question(f"{number}", text, options[2] if quiz else draw.choice(options), options, group=f"v{number}"))
    verdicts = judged(rows)
    assert [artefact(verdict) for verdict in verdicts] == ["position" if number % 3 == 0 else "" for number in range(120)]
    assert verdicts[0].evidence[1].startswith(f"position points to {rows[0].answer!r} (right on ")
    assert (verdicts[1].shortcut, verdicts[1].answered, verdicts[1].evidence) == (0.25, False, ("no rule points to an option",))
    assert (verdicts[1].conditions["text"].refused, verdicts[0].conditions["text"].correct) == (1, 1)


def test_a_rule_that_misleads_elsewhere_does_not_count() -> None:
    draw = random.Random(1)
    rows = []
    for number in range(60):
        answer, wrong, other = draw.sample(["red", "blue", "green"], 3)
        options = draw.sample([answer, f"it is clearly {wrong}", other], 3)
        rows.append(Question(f"{number}", "what is it?", answer, tuple(options), group=f"v{number}"))
    rows.append(Question("true", "what is it?", "it is clearly white", ("it is clearly white", "red", "blue"), group="w"))
    last = judged(rows)[-1]
    assert (last.answered, last.shortcut, last.scores["longest"]) == (False, pytest.approx(1 / 3), 1.0)
    assert last.evidence[0].endswith("questions of other videos, so it does not count)")


def test_a_weak_artefact_is_named_and_answers_nothing() -> None:
    draw = random.Random(3)
    rows = []
    for number in range(400):
        options = draw.sample(["red", "blue", "green", "white"], 4)
        cued = draw.choices(options, [2 if place else 4 for place in range(4)])[0]
        rows.append(Question(f"{number}", f"in the {options[0]} one, is it?", cued, tuple(draw.sample(options, 4)), group=f"v{number}"))
    verdicts = judged(rows)
    for question, verdict in zip(rows, verdicts, strict=True):
        right = question.answer in question.text
        assert artefact(verdict) == ("overlap" if right else "")
        assert verdict.answered is False
        assert verdict.conditions["text"].correct == int(right)
        assert (verdict.scores["margin"] > 0) == right
    assert {verdict.answered for verdict in judged(rows, reliable=0)} == {True, False}


def test_a_question_never_reads_its_own_answer() -> None:
    questions = planted(120)
    for place in range(0, 60, 7):
        row = questions[place]
        wrong = next(option for option in row.options if option != row.answer)
        changed = [replace(question, answer=wrong) if question is row else question for question in questions]
        first, second = judged(questions)[place], judged(changed)[place]
        lines = [line for line in first.evidence if not line.startswith("artefact: ")]
        assert lines == [line for line in second.evidence if not line.startswith("artefact: ")]


def test_planted_mechanisms_are_named_and_grounded_questions_are_not() -> None:
    questions = planted(500)
    verdicts = judged(questions)
    for mechanism, name in NAMES.items():
        found = [artefact(v) for question, v in zip(questions, verdicts, strict=True) if question.tags["mechanism"] == mechanism]
        assert found.count(name) / len(found) > 0.93, mechanism
    grounded = [verdict for question, verdict in zip(questions, verdicts, strict=True) if question.tags["label"] == "vg"]
    assert sum(bool(verdict.answered) for verdict in grounded) <= 0.01 * len(grounded)
    assert sum(named(verdicts).values()) == sum(bool(verdict.answered) for verdict in verdicts)


def test_conflict_rows_are_not_called_answerable() -> None:
    verdicts = judged(planted(100, path="conflict"))
    assert sum(bool(verdict.answered) for verdict in verdicts) < 0.04 * len(verdicts)


def test_what_cannot_be_judged_says_why() -> None:
    odd = [Question("n", "how many?", "3", kind="numerical"), Question("one", "is it?", "yes", ("yes",), group="x")]
    verdicts = judged([*odd, asked("which?", "a", "b")])
    assert [verdict.evidence for verdict in verdicts] == [
        ("no options: rules point to options",),
        ("there is one option only",),
        ("no other video has a question with options, so no rule can be rated",),
    ]
    assert all(verdict.answered is None and verdict.shortcut is None for verdict in verdicts)
    assert judged([]) == []


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="artefacts: reliable = 2: Input should be less than or equal to 1"):
        build(ArtefactsConfig, {"reliable": 2}, "artefacts")


def test_the_module_imports_no_numpy() -> None:
    code = "import sys, vidground_core.detectors.artefacts; print({'sklearn', 'numpy', 'scipy', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
