from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from vidground_core import Tally, Verdict
from vidground_core.filters.base import ExpectedErrors, Judged, Judges
from vidground_core.filters.luck import Counts, Knowledge, knowledge

Make = Callable[..., Any]
N = 4_000


def counted(rows: Sequence[Judged]) -> Counts:
    counts = Counts()
    for row in rows:
        counts.add(*row)
    return counts


def known(rows: Sequence[Judged], *names: str, least: int = 1) -> Knowledge:
    found = knowledge(counted(rows), Judges(names, least))
    assert isinstance(found, Knowledge), found
    return found


def simulated(judged: Make, trials: Sequence[int], patterns: Sequence[tuple[float, Sequence[int]]], q: float = 1.0) -> tuple[Any, Any]:
    """Rows of judges who know or guess, and who of them knows each (questions, judges)."""
    draw = random.Random(7)
    rows, truth = [], []
    for place in range(N):
        pattern = draw.choices([knows for _, knows in patterns], [share for share, _ in patterns])[0]
        options = draw.choice((3, 4, 5))
        shares = [q if knows else 1 / options for knows in pattern]
        right = {
            f"j{j}": (sum(draw.random() < share for _ in range(n)), n) for j, (share, n) in enumerate(zip(shares, trials, strict=True))
        }
        rows.append(judged(f"q{place}", right, options))
        truth.append(pattern)
    return rows, np.array(truth)


def errors_of(found: Knowledge, dropped: Any) -> tuple[float, float]:
    errors = found.errors(dropped, ~dropped)
    assert errors.false_drops is not None
    assert errors.false_keeps is not None
    return errors.false_drops, errors.false_keeps


@pytest.mark.parametrize("trials", [1, 4])
def test_one_judge_s_lucky_drops_and_unlucky_keeps_are_what_was_simulated(judged: Make, trials: int) -> None:
    q = 1.0 if trials == 1 else 0.9
    rows, truth = simulated(judged, [trials], [(0.3, [1]), (0.7, [0])], q)
    dropped = np.array([bool(verdicts["j0"].answered) for _, verdicts in rows])
    drops, keeps = errors_of(known(rows, "j0"), dropped)
    assert drops == pytest.approx(int((dropped & (truth[:, 0] == 0)).sum()), rel=0.15, abs=8)
    assert keeps == pytest.approx(int((~dropped & (truth[:, 0] == 1)).sum()), rel=0.15, abs=8)


@pytest.mark.parametrize("least", [1, 2, 3])
def test_judges_that_know_the_same_questions_are_not_taken_as_independent(judged: Make, least: int) -> None:
    patterns = [(0.5, [0, 0, 0]), (0.3, [1, 1, 1]), (0.1, [1, 0, 0]), (0.1, [0, 1, 1])]
    rows, truth = simulated(judged, [1, 4, 3], patterns)
    dropped = np.array([sum(bool(verdict.answered) for verdict in verdicts.values()) >= least for _, verdicts in rows])
    grounded = truth.sum(axis=1) < least
    drops, keeps = errors_of(known(rows, "j0", "j1", "j2", least=least), dropped)
    assert drops == pytest.approx(int((dropped & grounded).sum()), rel=0.15, abs=8)
    assert keeps == pytest.approx(int((~dropped & ~grounded).sum()), rel=0.15, abs=8)


def test_a_judge_that_only_guesses_knows_nothing_so_all_it_drops_is_luck(judged: Make) -> None:
    rows, _ = simulated(judged, [4], [(1.0, [0])])
    found = known(rows, "j0")
    dropped = np.array([verdicts["j0"].conditions["blind"].correct >= 2 for _, verdicts in rows])
    assert errors_of(found, dropped) == (dropped.sum(), 0)
    assert "j0 is no better than guessing" in found.note


def test_right_exactly_once_in_all_rotations_is_guessing(judged: Make) -> None:
    rows = [judged(f"q{place}", {"locked": (1, 4)}) for place in range(200)]
    assert known(rows, "locked").posteriors.max() == 0


def test_one_option_needs_no_video_and_open_answers_are_not_guessed(judged: Make) -> None:
    rows, _ = simulated(judged, [1, 1], [(0.3, [1, 1]), (0.7, [0, 0])])
    rows += [judged("one", {"j0": (1, 1), "j1": (1, 1)}, 1), judged("open", {"j0": (1, 1), "j1": (0, 1)}, 0)]
    assert known(rows, "j0").posteriors[-2:].tolist() == [1, 1]
    assert known(rows, "j0", "j1").posteriors[-2:].tolist() == pytest.approx([1, 1])


def test_questions_that_a_judge_did_not_answer_get_the_share_of_all(judged: Make) -> None:
    rows, _ = simulated(judged, [4], [(0.3, [1]), (0.7, [0])])
    rows.append(judged("silent", {"j0": (0, 0)}))
    assert known(rows, "j0").posteriors[-1] == pytest.approx(0.3, abs=0.03)


def test_a_judge_that_comes_later_in_the_rows_is_counted_from_there(judged: Make) -> None:
    counts = counted([judged("a", {"one": (1, 2)}), judged("b", {"one": (0, 2), "two": (1, 1)}), judged("c", {"two": (1, 1)})])
    assert [column.tolist() for column in counts.of("one")] == [[1, 0, 0], [2, 2, 0]]
    assert [column.tolist() for column in counts.of("two")] == [[0, 1, 1], [0, 1, 1]]


def test_trials_without_an_answer_are_no_trials(question: Make) -> None:
    tally = Tally(8, 2, refused=1, unparsed=2, failed=1)
    counts = counted([(question("q"), {"one": Verdict("q", "one", "any", None, None, {"blind": tally})})])
    assert [column.tolist() for column in counts.of("one")] == [[2], [4]]


def test_detectors_that_watch_or_compare_are_left_out_and_named(judged: Make) -> None:
    rows, _ = simulated(judged, [4], [(0.3, [1]), (0.7, [0])])
    for question, verdicts in rows:
        both = {"ordered": Tally(4, 4), "shuffled": Tally(4, 4)}
        verdicts["frames"] = Verdict(question.id, "frames", "mean", 1.0, True, both)
        verdicts["seen"] = Verdict(question.id, "seen", "mean", 1.0, True, {"ordered": Tally(4, 4)})
    found = known(rows, "j0", "frames", "seen")
    assert np.array_equal(found.posteriors, known(rows, "j0").posteriors)
    assert found.note.endswith("left out: frames compares several conditions; seen was shown the video")


@pytest.mark.parametrize(
    ("names", "least", "told"),
    [
        (("frames",), 1, "no judge's right answers can be counted (frames compares several conditions)"),
        (("silent",), 1, "no judge's right answers can be counted (silent counts no right answers)"),
        ((), 1, "no judge's right answers can be counted (there are no verdicts)"),
        (("j0", "frames"), 2, "at least 2 judges must know a question, but frames compares several conditions"),
        (tuple(f"j{place}" for place in range(9)), 1, "9 judges are more than the 8 that can be told apart; name fewer"),
    ],
)
def test_what_cannot_be_told_is_said(judged: Make, names: tuple[str, ...], least: int, told: str) -> None:
    row = judged("q", {**{f"j{place}": (1, 2) for place in range(9)}, "silent": (0, 0)})
    row[1]["frames"] = Verdict("q", "frames", "mean", 1.0, True, {"ordered": Tally(1, 1), "shuffled": Tally(1, 1)})
    assert knowledge(counted([row]), Judges(names, least)) == told


def test_single_options_alone_say_nothing(judged: Make) -> None:
    assert knowledge(counted([judged("q", {"one": (1, 1)}, 1)]), Judges(("one",))) == "every question has a single option"


def test_errors_are_plain_numbers() -> None:
    found = Knowledge(np.array([0.25, 1.0, 0.5]), "note")
    mask = np.array([True, False, False])
    assert found.errors(mask, ~mask) == ExpectedErrors(0.75, 1.5, "note")


def sure(name: str, p_gold: float, other: float, question: Make) -> Judged:
    scores = {"p_gold": p_gold, "margin": p_gold - other, "entropy": 1.0}
    tally = Tally(4, 4 if p_gold > other else 0, p_gold=p_gold)
    return question(name), {"j": Verdict(name, "j", "mean > 0.5", p_gold, p_gold > 0.5, {"blind": tally}, scores)}


def test_a_judge_that_gives_probabilities_is_lucky_only_where_it_is_sure(question: Make) -> None:
    """Sure and right 200, sure and wrong 30, unsure 370: as many right ones are lucky as the wrong ones tell, 30/(K − 1)."""
    rows = [
        sure(f"q{place}", *((0.9, 0.05) if place < 200 else (0.1, 0.7) if place < 230 else (0.3, 0.25)), question) for place in range(600)
    ]
    found = known(rows, "j")
    dropped = np.arange(600) < 200
    drops, keeps = errors_of(found, dropped)
    assert drops == pytest.approx(10, abs=0.1)
    assert keeps == pytest.approx(0, abs=0.1)
    assert found.note == "mixture of knowing and guessing: j knows 32% (right 100% assumed, unsure of 90% of the rest)"
