"""The question-only classifier: grouped folds, no look at its own answers, resume, and known numbers on real sets."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from vidground_core import ConfigError, DatasetLoader, Media, Question, Verdict
from vidground_core.config import build
from vidground_core.datasets.mvbench import MVBenchLoader
from vidground_core.datasets.nextqa import NextQALoader
from vidground_core.datasets.planted.loader import PlantedConfig, PlantedLoader
from vidground_core.datasets.social_iq2 import SocialIQ2Loader
from vidground_core.datasets.tempcompass import TempCompassLoader
from vidground_core.detectors.question_classifier import UNSCORED, grouped_folds
from vidground_core.detectors.question_only import QuestionOnly, QuestionOnlyConfig
from vidground_core.detectors.question_siblings import sibling_groups
from vidground_core.evaluation.statistics import auroc
from vidground_core.testing.contracts import DetectorContract

OPTIONS = ("alpha", "beta", "gamma", "delta")


class Rows(tuple[Question, ...]):
    """A corpus in memory."""

    __slots__ = ()

    def other_media(self, question: Question, seed: int) -> tuple[Media, ...]:
        raise NotImplementedError


class Kept(dict[str, pa.Table]):
    """Stages in memory; `dies` ends the run when so many have been put."""

    def __init__(self, dies: int = 1_000) -> None:
        super().__init__()
        self.dies = dies
        self.written: list[str] = []

    def put(self, name: str, value: pa.Table) -> None:
        self[name] = value
        self.written.append(name)
        if len(self.written) == self.dies:
            raise KeyboardInterrupt


def judged(questions: Sequence[Question], stages: Kept | None = None, **options: Any) -> list[Verdict]:
    detector = QuestionOnly(build(QuestionOnlyConfig, options, "question-only"))
    return list(detector.judge_all(Rows(questions), Kept() if stages is None else stages))


def right(verdicts: Sequence[Verdict]) -> float:
    return sum(bool(verdict.answered) for verdict in verdicts) / len(verdicts)


def random_questions(videos: int, each: int, *, seed: int = 0) -> list[Question]:
    """Questions whose answers nothing in their text tells."""
    draw = random.Random(seed)
    return [
        Question(f"{video}-{number}", f"what is it, {draw.choice('abcdef')}?", draw.choice(OPTIONS), OPTIONS, group=f"v{video}")
        for video in range(videos)
        for number in range(each)
    ]


def planted(videos: int, **options: Any) -> list[Question]:
    loader = PlantedLoader(build(PlantedConfig, options, "planted"))
    return [question for number in range(videos) for question in loader.video(number)[1]]


class TestContract(DetectorContract):
    component: ClassVar[type[Any]] = QuestionOnly


def test_answers_that_no_text_tells_stay_at_chance() -> None:
    verdicts = judged(random_questions(150, 4), random_folds=False)
    assert 0.19 < right(verdicts) < 0.31
    assert all(verdict.shortcut == verdict.scores["p_gold"] for verdict in verdicts)
    assert {verdict.rule for verdict in verdicts} == {"held-out argmax"}


def test_grouped_folds_do_not_learn_a_video_and_random_folds_do() -> None:
    draw = random.Random(1)
    answers = [draw.choice(OPTIONS) for _ in range(80)]
    questions = [
        Question(f"{video}-{number}", f"what is in clip{video}?", answers[video], OPTIONS, group=f"v{video}")
        for video in range(80)
        for number in range(5)
    ]
    verdicts = judged(questions)
    assert right(verdicts) < 0.4
    assert sum(verdict.scores["random_folds_right"] for verdict in verdicts) / len(verdicts) > 0.95


def test_probabilities_are_of_one_question() -> None:
    draw = random.Random(2)
    texts = [f"{word} thing" for word in "abcdefgh"]
    questions = []
    for video in range(60):
        options = tuple(draw.sample(texts, draw.choice((2, 3, 4)))) if video % 5 else ("the only one",)
        questions.append(Question(f"{video}", "which?", draw.choice(options), options, group=f"v{video}"))
    stages = Kept()
    verdicts = judged(questions, stages, random_folds=False)
    for stage in stages.values():
        assert all(sum(row) == pytest.approx(1) for row in stage["probabilities"].to_pylist())
    for question, verdict in zip(questions, verdicts, strict=True):
        assert verdict.scores["chance"] == question.chance
        assert verdict.scores["margin"] == pytest.approx(verdict.scores["p_gold"] - question.chance)
    single = verdicts[0]
    assert (single.shortcut, single.answered, single.scores["margin"]) == (1.0, True, 0.0)
    assert single.evidence == ("there is one option only",)


def test_a_row_never_reads_its_own_answer() -> None:
    questions = planted(80)
    stages = Kept()
    judged(questions, stages, random_folds=False)
    held = set(stages["grouped-0"]["row"].to_pylist())
    assert 0 < len(held) < len(questions)
    other = []
    for row, question in enumerate(questions):
        wrong = next(option for option in question.options if option != question.answer)
        answer = wrong if row in held else question.answer
        other.append(Question(question.id, question.text, answer, question.options, group=question.group, tags={"label": "?"}))
    again = Kept()
    judged(other, again, random_folds=False)
    assert again["grouped-0"].equals(stages["grouped-0"])
    assert not again["grouped-1"].equals(stages["grouped-1"])


def test_folds_hold_whole_groups_and_are_the_same_in_any_order() -> None:
    groups = [f"g{number % 23}" for number in range(200)]
    folds = grouped_folds(groups, folds=5, seed=3)
    by_group = {group: {int(fold) for fold, name in zip(folds, groups, strict=True) if name == group} for group in groups}
    assert all(len(found) == 1 for found in by_group.values())
    assert set(folds.tolist()) == {0, 1, 2, 3, 4}
    backwards = grouped_folds(groups[::-1], folds=5, seed=3)
    assert backwards.tolist() == folds.tolist()[::-1]
    assert grouped_folds(groups, folds=5, seed=4).tolist() != folds.tolist()
    assert grouped_folds(["a", "b", "a"], folds=5, seed=0).tolist() in ([0, 1, 0], [1, 0, 1])
    assert grouped_folds(["a", "a"], folds=5, seed=0).tolist() == [UNSCORED, UNSCORED]


def test_an_interrupted_run_goes_on_from_the_finished_folds() -> None:
    questions = planted(60)
    unbroken = Kept()
    verdicts = judged(questions, unbroken)
    assert unbroken.written == [f"{kind}-{number}" for kind in ("grouped", "random", "text") for number in range(5)]
    stages = Kept(dies=3)
    with pytest.raises(KeyboardInterrupt):
        judged(questions, stages)
    stages.dies = 1_000
    assert judged(questions, stages) == verdicts
    assert stages.written == unbroken.written
    before = dict(stages)
    assert judged(questions, stages) == verdicts
    assert stages.written == unbroken.written
    assert all(stages[name] is before[name] for name in before)


def test_a_finished_fold_is_read_back() -> None:
    questions = planted(40)
    stages = Kept()
    verdicts = judged(questions, stages, random_folds=False)
    stage = stages["grouped-2"]
    swapped = pa.array([row[::-1] for row in stage["probabilities"].to_pylist()])
    stages["grouped-2"] = stage.set_column(1, "probabilities", swapped)
    changed = judged(questions, stages, random_folds=False)
    held = set(stage["row"].to_pylist())
    differing = {row for row, (one, two) in enumerate(zip(verdicts, changed, strict=True)) if one != two}
    assert differing
    assert differing <= held


def test_folds_by_question_text_show_what_recurring_questions_teach() -> None:
    answers = {f"what is number {number}?": OPTIONS[number * 7 % 4] for number in range(60)}
    questions = [
        Question(f"{video}-{number}", f"{text.upper()} " if video % 2 else text, answers[text], OPTIONS, group=f"v{video}")
        for video in range(12)
        for number, text in enumerate(answers)
    ]
    verdicts = judged(questions, random_folds=False)
    assert right(verdicts) > 0.95
    assert sum(verdict.scores["text_folds_right"] for verdict in verdicts) / len(verdicts) < 0.45
    assert all(0 < verdict.scores["text_folds_p_gold"] < 1 for verdict in verdicts)
    stages = Kept()
    judged(questions, stages)
    folds = {row: number for number in range(5) for row in stages[f"text-{number}"]["row"].to_pylist()}
    assert len(folds) == len(questions)
    assert all(folds[row] == folds[row % 60] for row in folds)


def test_one_question_text_in_all_rows_has_no_folds_by_text() -> None:
    questions = [Question(f"{video}", "what?", OPTIONS[video % 4], OPTIONS, group=f"v{video}") for video in range(20)]
    for verdict in judged(questions):
        assert "text_folds_right" not in verdict.scores
        assert "random_folds_right" in verdict.scores


def test_open_ended_questions_do_not_change_the_others() -> None:
    questions = random_questions(20, 3)
    questions.insert(7, Question("open", "how many?", "3", kind="numerical", group="v1"))
    verdicts = judged(questions)
    assert [verdict.question for verdict in verdicts] == [question.id for question in questions]
    assert (verdicts[7].answered, verdicts[7].shortcut) == (None, None)
    assert verdicts[7].evidence == ("no other video has a numerical question without options, so there is nothing to learn from",)
    assert [verdict for verdict in verdicts if verdict.question != "open"] == judged(random_questions(20, 3))


def test_one_video_cannot_be_judged_and_few_give_fewer_folds() -> None:
    (one, *_) = judged(random_questions(1, 6))
    assert (one.answered, one.conditions) == (None, {})
    assert one.evidence == ("no other video has a question with options, so there is nothing to learn from",)
    few = judged(random_questions(3, 6))
    assert all(verdict.evidence[0].endswith("of 3, as there are only 3 videos") for verdict in few)
    assert judged([]) == []


def test_evidence_names_what_spoke_for_the_choice() -> None:
    questions = [
        Question(
            f"{number}", "what is it?", "the long and winding answer", ("this", "that", "the long and winding answer"), group=f"v{number}"
        )
        for number in range(40)
    ]
    verdict = judged(questions, random_folds=False)[0]
    assert verdict.answered
    assert verdict.evidence[1].startswith("chose 'the long and winding answer' with P = 1.00")
    assert verdict.evidence[2].startswith("for it spoke: ")
    assert verdict.conditions["text"].correct == verdict.conditions["text"].trials == 1


def test_planted_text_artefacts_are_found_and_grounded_questions_are_not() -> None:
    questions = planted(400)
    verdicts = judged(questions, random_folds=False)
    labels = [question.tags["label"] for question in questions]
    grounded = [verdict for verdict, label in zip(verdicts, labels, strict=True) if label == "vg"]
    assert right(grounded) < 0.3
    for mechanism in ("longest-option", "word-overlap", "position", "elimination"):
        leaking = [verdict for verdict, question in zip(verdicts, questions, strict=True) if question.tags["mechanism"] == mechanism]
        scores = [float(verdict.shortcut or 0) for verdict in (*grounded, *leaking)]
        assert auroc(scores, [False] * len(grounded) + [True] * len(leaking)) > 0.85, mechanism


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="question-only: folds = 1: Input should be greater than or equal to 2"):
        build(QuestionOnlyConfig, {"folds": 1}, "question-only")


def test_the_module_imports_no_scikit_learn() -> None:
    code = "import sys, vidground_core.detectors.question_only; print({'sklearn', 'numpy', 'scipy', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def _loaded(loader: type[DatasetLoader[Any]], path: Path) -> Iterator[Question]:
    rows = loader(build(loader.Config, {"path": str(path)}, loader.name)).load()
    return (row for row in rows if isinstance(row, Question))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("loader", "path", "chance", "reference"),
    [
        pytest.param(NextQALoader, "nextqa/test.csv", 0.200, 0.289, marks=pytest.mark.slow),
        pytest.param(MVBenchLoader, "mvbench/mvbench.json", 0.283, 0.408),
        pytest.param(SocialIQ2Loader, "social_iq2/qa_train.json", 0.250, 0.561, marks=pytest.mark.slow),
    ],
)
def test_real_sets_reach_the_reference(shared: Path, loader: type[DatasetLoader[Any]], path: str, chance: float, reference: float) -> None:
    questions = list(_loaded(loader, shared / path))
    assert sum(question.chance for question in questions) / len(questions) == pytest.approx(chance, abs=0.0005)
    assert right(judged(questions, random_folds=False)) >= reference


def test_siblings_share_a_video_or_their_options() -> None:
    rows = [
        ("what?", ("a cat", "a dog")),
        ("and what?", ("A dog.", "a cat")),
        ("who?", ("he", "she")),
        ("where?", ("here", "there")),
        ("when?", ("now", "then")),
    ]
    assert sibling_groups(rows, ["v1", "v2", "v2", "v3", "v4"]) == ["0", "0", "0", "3", "4"]
    assert sibling_groups([("?", ("+", "-")), ("?", ("*", "-"))], ["v1", "v2"]) == ["0", "1"]
    assert sibling_groups([], []) == []


def balanced(families: int) -> list[Question]:
    """Four videos a family, each with another of the same four options as its answer."""
    draw, rows = random.Random(0), []
    for family in range(families):
        options = tuple(f"{letter}{family}" for letter in "pqrs")
        for number, answer in enumerate(options):
            shown = tuple(draw.sample(options, 4))
            rows.append(Question(f"{family}-{number}", f"what is in scene {family}?", answer, shown, group=f"v{family}-{number}"))
    return rows


def test_siblings_with_other_answers_mislead_unless_they_are_held_out_together() -> None:
    verdicts = judged(balanced(60), random_folds=False, text_folds=False, sibling_folds=True)
    assert right(verdicts) < 0.08
    apart = [verdict.scores["sibling_folds_right"] for verdict in verdicts]
    assert 0.17 < sum(apart) / len(apart) < 0.33
    assert all(0 < verdict.scores["sibling_folds_p_gold"] < 1 for verdict in verdicts)


def test_open_ended_questions_have_no_siblings() -> None:
    rows = [Question(f"q{n}", "how many?", str(n % 3), kind="numerical", group=f"v{n}") for n in range(30)]
    assert not any(name.startswith("sibling") for verdict in judged(rows, sibling_folds=True) for name in verdict.scores)


def test_tempcompass_is_below_chance_by_its_siblings_only(shared: Path) -> None:
    """Chance 29.8%, longest option 34.5%: see docs/explanation/question-only.md."""
    loader = TempCompassLoader(build(TempCompassLoader.Config, {"path": str(shared / "tempcompass" / "multi-choice.json")}, "x"))
    questions = [row for row in loader.load() if isinstance(row, Question)]
    verdicts = judged(questions, random_folds=False, text_folds=False, sibling_folds=True)
    assert right(verdicts) < 0.29
    assert sum(verdict.scores["sibling_folds_right"] for verdict in verdicts) / len(verdicts) > 0.40
