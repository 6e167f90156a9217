import random

import pytest
from scipy.stats import binom

from vidground_core import Decision, Question, Tally, Verdict
from vidground_core.filters.base import ExpectedErrors
from vidground_core.filters.drop_answerable import DropAnswerable, DropAnswerableConfig
from vidground_core.filters.luck import LuckEstimate, chance_of, right_answers_needed


def judged(number: int, *, right: int, trials: int = 1, rule: str = "mean > 0.5", options: int = 4) -> tuple[Question, Verdict]:
    texts = tuple(map(str, range(options)))
    needed = {"all": trials, "any": 1, "mean > 0.5": trials // 2 + 1, "at least 2": 2}[rule]
    question = Question(f"q{number}", "?", "0", texts)
    tally = Tally(trials, right)
    return question, Verdict(question.id, "judge", rule, right / trials, right >= needed, {"blind": tally})


def estimate(rows: list[tuple[Question, Verdict]]) -> float | None:
    judged_rows = [(question, {"judge": verdict}) for question, verdict in rows]
    return DropAnswerable(DropAnswerableConfig()).expected_errors(lambda: iter(judged_rows)).false_drops


@pytest.mark.parametrize(("rule", "trials"), [("mean > 0.5", 1), ("mean > 0.5", 3), ("any", 4), ("all", 2), ("at least 2", 4)])
def test_a_judge_that_only_guesses_drops_what_is_estimated(rule: str, trials: int) -> None:
    draw = random.Random(5)
    rows = [judged(i, right=sum(draw.random() < 0.25 for _ in range(trials)), trials=trials, rule=rule) for i in range(4000)]
    dropped = sum(bool(verdict.answered) for _, verdict in rows)
    assert estimate(rows) == pytest.approx(dropped, rel=0.12)


def test_one_pass_over_four_options_loses_a_third_of_what_is_kept() -> None:
    rows = [judged(i, right=0) for i in range(30)] + [judged(100 + i, right=1) for i in range(50)]
    assert estimate(rows) == pytest.approx(30 / 3)


def test_open_ended_answers_are_not_guessed() -> None:
    question = Question("q", "How many?", "3", kind="numerical")
    verdict = Verdict("q", "judge", "any", 0.0, False, {"blind": Tally(1, 0)})
    found = LuckEstimate()
    found.add(question, {"judge": verdict}, Decision("q", True, "p", "1", "kept", {"judge": 0.0}))
    assert found.result().false_drops == 0


def test_there_is_no_estimate_for_probabilities_several_judges_or_another_threshold() -> None:
    question, verdict = judged(0, right=0)
    scored = Verdict("q0", "judge", "mean > 0.5", 0.3, False, {"blind": Tally(4, 1, p_gold=0.3)})
    kept = Decision("q0", True, "p", "1", "kept", {"judge": 0.0})
    both = Decision("q0", True, "p", "1", "kept", {"judge": 0.0, "second": 0.0})
    for decision, verdicts, note in (
        (kept, {"judge": scored}, "not estimated: the rule 'mean > 0.5' of judge does not count right answers"),
        (
            Decision("q0", False, "p", "1", "x", {"judge": 0.0}),
            {"judge": verdict},
            "not estimated: the policy does not follow what judge says",
        ),
        (both, {"judge": verdict, "second": verdict}, "not estimated: several judges were combined"),
    ):
        found = LuckEstimate()
        found.add(question, verdicts, decision)
        assert found.result() == ExpectedErrors(note=note)
    assert LuckEstimate().result() == ExpectedErrors(note="there are no questions")


def test_undecided_questions_stand_for_nothing() -> None:
    question, verdict = judged(0, right=0)
    found = LuckEstimate()
    found.add(question, {"judge": verdict}, Decision("q0", True, "p", "1", "no verdict: kept"))
    assert found.result().false_drops == 0


def test_the_binomial_tail_is_scipy_s() -> None:
    for least, trials, share in ((1, 1, 0.25), (2, 4, 0.2), (5, 8, 0.25), (0, 3, 0.5)):
        assert chance_of(least, trials, share) == pytest.approx(binom.sf(least - 1, trials, share))


@pytest.mark.parametrize(
    ("rule", "tally", "needed"),
    [
        ("all", Tally(4, 1), (4, 4)),
        ("any", Tally(4, 1), (4, 1)),
        ("at least 2", Tally(4, 1, refused=1), (3, 2)),
        ("mean > 0.5", Tally(4, 1), (4, 3)),
        ("mean > 0.5", Tally(4, 1, p_gold=0.3), None),
        ("held-out argmax", Tally(1, 1, p_gold=0.3), (1, 1)),
        ("all", Tally(2, failed=2), None),
        ("something else", Tally(1, 1), None),
    ],
)
def test_rules_that_count_right_answers(rule: str, tally: Tally, needed: tuple[int, int] | None) -> None:
    assert right_answers_needed(Verdict("q", "d", rule, 0.5, False, {"blind": tally})) == needed
