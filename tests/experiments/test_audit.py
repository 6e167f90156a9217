"""What an audit says of its judges: rates, readings, agreement; the published truth table among the cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from vidground_core.evaluation.statistics import rate
from vidground_core.experiments.audit import AuditResult, JudgeResult, audit
from vidground_core.experiments.audit_agreement import Pair
from vidground_core.filters.base import Judged
from vidground_core.records import Question, Tally, Verdict

OPTIONS = ("a cat", "a dog", "a house", "a tree")
# Answered blind by GPT, Qwen and Gemini, and how many of the 263,071 questions: the published card of VidGround-M2.
PUBLISHED = {"NNN": 96_551, "NYN": 33_330, "NNY": 9_500, "YNN": 8_469, "YYY": 56_840, "NYY": 42_329, "YYN": 13_070, "YNY": 2_982}


def question(index: int, *, options: tuple[str, ...] = OPTIONS, answer: str = "a cat", group: int | None = None) -> Question:
    kind = "multiple choice" if options else "numerical"
    return Question(f"q{index}", "What is it?", answer, options, kind=kind, group=f"v{index if group is None else group}")  # type: ignore[arg-type]


def said(at: Question, judge: str, right: bool, *, trials: int = 1) -> Verdict:
    tally = Tally(trials, trials if right else 0)
    return Verdict(at.id, judge, "mean", float(right), right, {"blind": tally})


def audited(rows: list[tuple[Question, Mapping[str, Verdict]]]) -> AuditResult:
    return audit(lambda: iter(rows), "made:up")


def one_judge(outcomes: list[Tally]) -> JudgeResult:
    rows = []
    for index, tally in enumerate(outcomes):
        judged = tally.trials > tally.failed
        verdict = Verdict(f"q{index}", "judge", "mean", None, tally.correct > 0 if judged else None, {"blind": tally})
        rows.append((question(index), {"judge": verdict}))
    return audited(rows).judges[0]


def test_accuracy_gain_and_corrected_are_of_the_same_questions() -> None:
    judge = one_judge([Tally(1, 1)] * 40 + [Tally(1, 0)] * 60)
    assert judge.accuracy is not None
    assert judge.gain is not None
    assert judge.corrected is not None
    assert (judge.n, judge.accuracy.value, judge.chance, judge.gain.value) == (100, 0.4, 0.25, pytest.approx(0.15))
    assert judge.corrected.value == pytest.approx(0.2)
    expected = rate([1.0] * 40 + [0.0] * 60, [str(i) for i in range(100)])
    assert judge.accuracy.interval == pytest.approx(expected.interval)
    assert judge.gain.interval == pytest.approx([bound - 0.25 for bound in expected.interval])
    assert judge.corrected.interval == pytest.approx([(bound - 0.25) / 0.75 for bound in expected.interval])


def test_refused_unparsed_and_failed_are_their_own_rates() -> None:
    tallies = [Tally(1, 1)] * 5 + [Tally(1)] * 2 + [Tally(1, refused=1)] * 6 + [Tally(1, unparsed=1)] * 3 + [Tally(1, failed=1)] * 4
    judge = one_judge(tallies)
    assert (judge.refused, judge.unparsed, judge.failed) == (0.3, 0.15, 0.2)
    assert judge.n == 16, "failed questions are not judged"
    assert judge.accuracy is not None
    assert judge.accuracy.value == pytest.approx(5 / 16)
    assert judge.attempted is not None
    assert judge.attempted.value == pytest.approx(5 / 7), "of the answers given"
    assert judge.attempted_gain is not None
    assert judge.attempted_gain.value == pytest.approx(5 / 7 - 0.25)


def test_several_trials_count_as_their_mean() -> None:
    judge = one_judge([Tally(4, 1), Tally(4, 3), Tally(4, 2, failed=2)])
    assert judge.accuracy is not None
    assert judge.accuracy.value == pytest.approx((0.25 + 0.75 + 1.0) / 3)


def test_intervals_resample_videos() -> None:
    alone = audited([(at := question(i), {"j": said(at, "j", i % 2 == 0)}) for i in range(60)]).judges[0]
    rows = [(at := question(i, group=i // 10), {"j": said(at, "j", (i // 10) % 2 == 0)}) for i in range(60)]
    shared = audited(rows).judges[0]
    assert alone.accuracy is not None
    assert shared.accuracy is not None
    assert shared.accuracy.high - shared.accuracy.low > 2 * (alone.accuracy.high - alone.accuracy.low)


def test_all_right_and_all_wrong_keep_an_interval() -> None:
    right, wrong = one_judge([Tally(1, 1)] * 30), one_judge([Tally(1)] * 30)
    bound = 0.025 ** (1 / 30)
    assert right.accuracy is not None
    assert wrong.accuracy is not None
    assert right.accuracy.interval == pytest.approx([bound, 1])
    assert wrong.accuracy.interval == pytest.approx([0, 1 - bound])
    assert wrong.gain is not None
    assert wrong.corrected is not None
    assert wrong.gain.interval == pytest.approx([-0.25, 0.75 - bound])
    assert wrong.corrected.interval == pytest.approx([-1 / 3, (0.75 - bound) / 0.75])


@pytest.mark.parametrize(
    ("tallies", "reading", "explained"),
    [
        ([Tally(1, 1)] * 60 + [Tally(1)] * 40, "above chance", ""),
        ([Tally(1, 1)] * 25 + [Tally(1)] * 75, "like chance", ""),
        ([Tally(1, 1)] * 23 + [Tally(1)] * 77, "like chance", "2.0 points below chance, which its interval does not tell from chance"),
        ([Tally(1, 1)] * 5 + [Tally(1)] * 95, "below chance", "the text points to wrong options, as in a set balanced by videos"),
        (
            [Tally(1, 1)] * 8 + [Tally(1, refused=1)] * 80 + [Tally(1)] * 12,
            "below chance",
            "only because 80.0% of the trials gave no answer",
        ),
    ],
)
def test_a_gain_is_read_by_its_interval(tallies: list[Tally], reading: str, explained: str) -> None:
    row = one_judge(tallies).as_json()
    assert row["reading"] == reading
    assert explained in row["explanation"]
    assert bool(row["explanation"]) == bool(explained)


def test_open_ended_questions_are_never_guessed() -> None:
    rows = [(at := question(i, options=(), answer="7"), {"j": said(at, "j", i < 3)}) for i in range(10)]
    found = audited(rows)
    assert found.chance == 0
    assert found.baselines == ()
    assert found.judges[0].gain is not None
    assert found.judges[0].gain.value == pytest.approx(0.3)


def test_baselines_need_no_model() -> None:
    rows = [(question(i, answer="a house" if i % 2 else "a tree"), {}) for i in range(10)]
    position, longest, shortest = (row.as_json() for row in audited(rows).baselines)
    assert (position["accuracy"], position["note"]) == (0.5, "always option 3, the best one in hindsight")
    assert (longest["accuracy"], shortest["accuracy"]) == (0.5, 0.0), "a house is the longest; two shortest ones, neither right"


def test_a_judge_of_nothing_says_so() -> None:
    rows = [(question(i), {"j": Verdict(f"q{i}", "j", "mean", None, None)}) for i in range(3)]
    row = audited(rows).judges[0].as_json()
    assert (row["n"], row["accuracy"], row["interval"], row["note"]) == (0, None, None, "no question was judged")


def test_json_keeps_the_promised_keys() -> None:
    found = audited([(at := question(i), {"j": said(at, "j", i < 5)}) for i in range(10)]).as_json()
    assert {"dataset", "questions", "judges"} <= set(found)
    assert {"name", "n", "accuracy", "chance", "interval", "refused", "unparsed", "failed"} <= set(found["judges"][0])


@pytest.fixture(scope="module")
def published() -> AuditResult:
    """The published truth table as 263,071 judged questions, in 900 groups so that the intervals are quick."""

    asked = [question(group) for group in range(900)]
    judges = ("gpt", "qwen", "gemini")
    verdicts = {pattern: {n: said(asked[0], n, y == "Y") for n, y in zip(judges, pattern, strict=True)} for pattern in PUBLISHED}

    def rows() -> Iterator[Judged]:
        patterns = (pattern for pattern, count in PUBLISHED.items() for _ in range(count))
        for index, pattern in enumerate(patterns):
            yield asked[index % len(asked)], verdicts[pattern]

    return audit(rows, "video-r1")


def test_the_published_truth_table_gives_its_sums_and_kappas(published: AuditResult) -> None:
    assert published.questions == 263_071
    pairs = {(pair.first, pair.second): pair for pair in published.agreement}
    kappas = {names: round(pair.kappa.value, 2) for names, pair in pairs.items() if pair.kappa}
    assert kappas == {("gpt", "qwen"): 0.36, ("gpt", "gemini"): 0.41, ("qwen", "gemini"): 0.56}
    gpt_qwen = pairs["gpt", "qwen"]
    assert gpt_qwen.jaccard_vg is not None
    assert gpt_qwen.table.neither == 96_551 + 9_500
    assert gpt_qwen.jaccard_vg.value == pytest.approx((96_551 + 9_500) / (263_071 - 56_840 - 13_070))
    assert gpt_qwen.table.both + gpt_qwen.table.first_only == 81_361
    assert gpt_qwen.table.both + gpt_qwen.table.second_only == 145_569
    assert published.answered_by["0"] + published.answered_by["1"] == 147_850, "what fewer than 2 of 3 judges answer"


def pair_of(first: list[bool | None], second: list[bool | None]) -> Pair:
    rows = []
    for index, (one, other) in enumerate(zip(first, second, strict=True)):
        at = question(index)
        named = {"one": one, "other": other}
        verdicts = {n: said(at, n, v) if v is not None else Verdict(at.id, n, "mean", None, None) for n, v in named.items()}
        rows.append((at, verdicts))
    (pair,) = audited(rows).agreement
    return pair


def test_agreement_leaves_out_what_either_did_not_judge() -> None:
    pair = pair_of([True, True, False, None, False, True], [True, False, False, True, None, True])
    assert (pair.table.n, pair.table.both, pair.table.first_only, pair.table.neither) == (4, 2, 1, 1)
    assert pair.table.overlap == 0.75


def test_two_judges_who_always_say_yes_agree_without_a_kappa() -> None:
    row = pair_of([True] * 8, [True] * 8).as_json()
    assert (row["overlap"], row["kappa"], row["kappa_interval"], row["jaccard_vg"]) == (1.0, None, None, None)
    assert row["mcnemar_p"] == 1.0


def test_the_difference_of_two_judges_is_paired() -> None:
    row = pair_of([True] * 60 + [False] * 40, [True] * 40 + [False] * 60).as_json()
    assert row["difference"] == pytest.approx(0.2)
    low, high = row["difference_interval"]
    assert 0 < low < 0.2 < high < 0.3
    assert row["mcnemar_p"] < 1e-5
    assert row["shortcut_difference"] == pytest.approx(0.2)


def test_the_difference_is_of_the_questions_that_agreement_is_of() -> None:
    row = pair_of([True] * 30 + [None] * 70, [True] * 20 + [False] * 80).as_json()
    assert (row["n"], row["difference"]) == (30, pytest.approx(1 / 3))


def test_the_difference_goes_by_the_rule_where_questions_have_several_trials() -> None:
    asked = [question(i) for i in range(20)]
    half = {at.id: Verdict(at.id, "half", "mean > 0.5", 0.5, False, {"blind": Tally(4, 2)}) for at in asked}
    found = audited([(at, {"half": half[at.id], "never": said(at, "never", False)}) for at in asked])
    assert [judge.accuracy.value for judge in found.judges if judge.accuracy] == [0.5, 0.0]
    row = found.agreement[0].as_json()
    assert (row["difference"], row["mcnemar_p"], row["shortcut_difference"]) == (0.0, 1.0, 0.5)


def test_judges_of_different_questions_have_no_agreement() -> None:
    row = pair_of([True, None], [None, True]).as_json()
    assert (row["n"], row["overlap"], row["kappa"], row["difference"], row["mcnemar_p"]) == (0, None, None, None, None)


def test_answered_by_counts_questions_that_all_judged() -> None:
    rows = []
    for index, (one, other) in enumerate([(True, True), (True, False), (False, False)]):
        at = question(index)
        rows.append((at, {"one": said(at, "one", one), "other": said(at, "other", other)}))
    at = question(3)
    rows.append((at, {"one": said(at, "one", True)}))
    assert audited(rows).answered_by == {"0": 1, "1": 1, "2": 1}
