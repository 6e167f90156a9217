"""Open-ended questions by question-only: classified into frequent answers, label-invariant, beside the baseline by opening words."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from vidground_core import Question, Verdict
from vidground_core.config import build
from vidground_core.detectors.question_only import QuestionOnly, QuestionOnlyConfig
from vidground_core.detectors.question_open_answers import normal_answer
from vidground_core.testing.corpus import ListCorpus


class Kept(dict[str, pa.Table]):
    """Stages in memory."""

    def put(self, name: str, value: pa.Table) -> None:
        self[name] = value


def judged(questions: list[Question], stages: Kept | None = None, **options: Any) -> list[Verdict]:
    detector = QuestionOnly(build(QuestionOnlyConfig, options, "question-only"))
    return list(detector.judge_all(ListCorpus(questions), Kept() if stages is None else stages))


def mean(verdicts: list[Verdict], score: str) -> float:
    return sum(verdict.scores[score] for verdict in verdicts) / len(verdicts)


def asked(videos: int, *, seed: int = 0) -> list[Question]:
    """The last word tells the answer of half the questions; the other half is drawn among two answers. One answer in ten is unique."""
    draw = random.Random(seed)
    known = {"snow": "white", "grass": "green", "coal": "black"}
    found = []
    for video in range(videos):
        thing = draw.choice([*known, "car", "door", "hat"])
        answer = known.get(thing) or draw.choice(["red", "blue"])
        answer = answer if draw.random() > 0.1 else f"shade {video}"
        found.append(Question(f"c{video}", f"What colour is the {thing}?", answer.title(), kind="free-form", group=f"v{video}"))
        count = Question(
            f"n{video}", f"How many legs has the {'dog' if video % 2 else 'man'}?", "4" if video % 2 else "2.0", kind="numerical"
        )
        found.append(replace(count, group=f"v{video}"))
    return found


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("Yes.", "yes"),
        ("  two   dogs ", "two dogs"),
        ("3.0", "3"),
        ("1,000", "1000"),
        ("-0.50", "-0.5"),
        ("nan", "nan"),
        ("", ""),
        ("“It”", "it"),
    ],
)
def test_answers_are_compared_as_words_or_numbers(text: str, same: str) -> None:
    assert normal_answer(text) == same


def test_what_the_question_tells_is_learned_and_the_rest_is_not() -> None:
    questions = asked(240)
    verdicts = judged(questions)
    counts = [verdict for verdict in verdicts if verdict.question.startswith("n")]
    assert all(verdict.answered and verdict.scores["p_gold"] > 0.9 for verdict in counts)
    assert mean(counts, "opening_right") < 0.7
    told = {"snow", "grass", "coal"}
    colours = [(verdict, question) for verdict, question in zip(verdicts, questions, strict=True) if question.kind == "free-form"]
    known = [verdict for verdict, question in colours if question.text.split()[-1].strip("?") in told]
    guessed = [verdict for verdict, question in colours if question.text.split()[-1].strip("?") not in told]
    assert 0.8 < sum(bool(verdict.answered) for verdict in known) / len(known) < 1
    assert 0.3 < sum(bool(verdict.answered) for verdict in guessed) / len(guessed) < 0.6
    assert mean(known, "opening_right") < 0.4
    for verdict, question in colours:
        assert verdict.scores["chance"] == 0
        assert verdict.scores["margin"] == verdict.shortcut == verdict.scores["p_gold"]
        if question.answer.startswith("Shade"):
            assert (verdict.answered, verdict.shortcut) == (False, 0.0)
        assert 0 <= verdict.scores["random_folds_p_gold"] <= 1


def test_evidence_names_the_answers() -> None:
    verdict = next(verdict for verdict in judged(asked(60), random_folds=False, text_folds=False) if verdict.question.startswith("n"))
    assert verdict.evidence[0].startswith("fold ")
    assert verdict.evidence[1].startswith("chose '2' with P = 0.9")
    assert verdict.evidence[2].startswith("the most frequent answer to questions that begin like it: ")
    assert set(verdict.scores) == {"p_gold", "chance", "margin", "opening_right"}


def test_no_prediction_reads_the_answer_it_is_about() -> None:
    questions = asked(80)
    stages = Kept()
    judged(questions, stages, random_folds=False, text_folds=False)
    rows = [place for place, question in enumerate(questions) if question.kind == "free-form"]
    held = {rows[row] for row in stages["free-form-grouped-0"]["row"].to_pylist()}
    other = [replace(question, answer="Red") if place in held else question for place, question in enumerate(questions)]
    assert other != questions
    again = Kept()
    judged(other, again, random_folds=False, text_folds=False)
    for column in ("row", "chosen", "probability", "by_opening"):
        assert again["free-form-grouped-0"][column].equals(stages["free-form-grouped-0"][column])
    assert not again["free-form-grouped-0"]["p_gold"].equals(stages["free-form-grouped-0"]["p_gold"])
    assert not again["free-form-grouped-1"].equals(stages["free-form-grouped-1"])


def test_finished_folds_are_read_back() -> None:
    questions, stages = asked(40), Kept()
    verdicts = judged(questions, stages)
    kinds = ("free-form", "numerical")
    assert {name.rpartition("-")[0] for name in stages} == {f"{kind}-{fold}" for kind in kinds for fold in ("grouped", "random", "text")}
    before = dict(stages)
    assert judged(questions, stages) == verdicts
    assert all(stages[name] is table for name, table in before.items())


def test_answers_that_never_recur_are_not_guessed() -> None:
    questions = [Question(f"{number}", f"what is {number}?", f"thing {number}", kind="OCR", group=f"v{number}") for number in range(12)]
    for verdict in judged(questions):
        assert (verdict.answered, verdict.shortcut) == (False, 0.0)
        assert verdict.evidence[1] == "no answer occurs twice in the other folds"


def test_one_answer_to_all_is_certain() -> None:
    questions = [Question(f"{number}", f"is it {number}?", "yes", kind="free-form", group=f"v{number}") for number in range(12)]
    assert all(verdict.answered and verdict.shortcut == 1 for verdict in judged(questions))


def test_few_answers_are_told_apart_when_few_are_asked_for() -> None:
    verdicts = judged(asked(100), answers=1, random_folds=False, text_folds=False)
    chosen = {verdict.evidence[1].partition("'")[2].partition("'")[0] for verdict in verdicts if verdict.question.startswith("n")}
    assert len(chosen) <= 2
    assert sum(bool(verdict.answered) for verdict in verdicts if verdict.question.startswith("n")) < 90


@pytest.mark.shared
@pytest.mark.slow
def test_activitynet_qa_is_above_the_majority_by_opening_words(shared: Path) -> None:
    folder = shared / "activitynet_qa"
    answers = {row["question_id"]: str(row["answer"]) for row in json.loads((folder / "val_a.json").read_text())}
    questions = [
        Question(row["question_id"], row["question"], answers[row["question_id"]], kind="free-form", group=row["video_name"])
        for row in json.loads((folder / "val_q.json").read_text())
    ]
    verdicts = judged(questions, random_folds=False, text_folds=False)
    assert len(verdicts) == 18_000
    assert sum(bool(verdict.answered) for verdict in verdicts) / len(verdicts) > 0.27 > mean(verdicts, "opening_right") > 0.26
