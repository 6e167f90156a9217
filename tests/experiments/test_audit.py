"""The numbers of an audit, worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from vidground_core import Question, Tally, Verdict
from vidground_core.experiments.audit import AuditResult, audit
from vidground_core.filters.base import Judged


def question(name: str, options: tuple[str, ...], answer: str, group: str = "") -> Question:
    return Question(name, "?", answer, options, group=group or name, kind="multiple choice" if options else "numerical")


def verdict(answered: bool | None, conditions: Mapping[str, Tally] | None = None, **scores: float) -> Verdict:
    return Verdict("", "", "rule", None, answered, conditions or {}, scores)


def audited(*rows: Judged) -> AuditResult:
    passes = 0

    def judged() -> Iterator[Judged]:
        nonlocal passes
        passes += 1
        assert passes == 1
        yield from rows

    return audit(judged, "mine")


def judges(result: AuditResult) -> dict[str, Any]:
    return {judge["name"]: judge for judge in result.as_json()["judges"]}


TWO, FOUR = ("a", "b"), ("a", "b", "c", "d")


def test_accuracy_counts_trials_and_refusals_but_not_failures() -> None:
    result = audited(
        (question("1", TWO, "a"), {"blind": verdict(True, {"blind": Tally(4, correct=3, refused=1)})}),
        (question("2", FOUR, "a"), {"blind": verdict(False, {"blind": Tally(4, correct=1, unparsed=1, failed=2)})}),
        (question("3", FOUR, "a"), {"blind": verdict(None, {"blind": Tally(2, failed=2)})}),
        (question("4", FOUR, "a"), {"blind": verdict(None)}),
    )
    found = judges(result)["blind"]
    assert (result.questions, found["n"]) == (4, 2)
    assert found["accuracy"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert found["chance"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert found["gain"] == pytest.approx(0.625 - 0.375)
    assert found["corrected"] == pytest.approx(0.25 / 0.625)
    assert (found["refused"], found["unparsed"], found["failed"]) == (1 / 10, 1 / 10, 4 / 10)
    assert found["answered"] == 0.5
    low, high = found["interval"]
    assert (low, high) == (0.5, 0.75)


def test_several_conditions_or_none_leave_the_rules_word() -> None:
    both = {"ordered": Tally(1, correct=1), "shuffled": Tally(1)}
    result = audited(
        (question("1", TWO, "a"), {"shuffled": verdict(False, both), "recorded:gpt": verdict(True)}),
        (question("2", TWO, "a"), {"shuffled": verdict(True, both), "recorded:gpt": verdict(True)}),
    )
    assert {name: judge["accuracy"] for name, judge in judges(result).items()} == {"shuffled": 0.5, "recorded:gpt": 1.0}


def test_scores_are_averaged_over_the_questions_that_have_them() -> None:
    result = audited(
        (question("1", TWO, "a"), {"judge": verdict(True, random_folds_right=1.0)}),
        (question("2", TWO, "a"), {"judge": verdict(True, random_folds_right=0.0)}),
        (question("3", TWO, "a"), {"judge": verdict(None)}),
    )
    assert judges(result)["judge"]["scores"] == {"random_folds_right": 0.5}


def test_a_judge_without_judgement_has_no_rates() -> None:
    found = judges(audited((question("1", (), "3"), {"judge": verdict(None)})))["judge"]
    assert found["n"] == 0
    assert [found[key] for key in ("accuracy", "chance", "interval", "gain", "corrected")] == [None] * 5
    assert found["note"] == "no question was judged"


def test_intervals_cluster_on_the_group() -> None:
    one_video = audited(*[(question(f"{number}", TWO, "a", group="v"), {"judge": verdict(True)}) for number in range(50)])
    assert judges(one_video)["judge"]["interval"] == [0.0, 1.0]
    rows = [(question(f"{number}", TWO, "a", group=f"v{number // 10}"), {"judge": verdict(number // 10 % 2 == 0)}) for number in range(100)]
    alone = [(question(f"{number}", TWO, "a"), {"judge": verdict(number // 10 % 2 == 0)}) for number in range(100)]
    clustered, independent = (judges(audited(*found))["judge"]["interval"] for found in (rows, alone))
    assert clustered[1] - clustered[0] > 2 * (independent[1] - independent[0])


def test_baselines_need_no_judge() -> None:
    result = audited(
        (question("1", ("a", "bb", "cc"), "bb"), {}),
        (question("2", ("a", "bbb", "cc"), "bbb"), {}),
        (question("3", ("aa", "bb"), "aa"), {}),
        (question("4", (), "3"), {}),
    )
    found = {baseline["name"]: baseline for baseline in result.as_json()["baselines"]}
    assert list(found) == ["position", "longest", "shortest"]
    assert {name: baseline["n"] for name, baseline in found.items()} == {"position": 3, "longest": 3, "shortest": 3}
    assert found["position"]["accuracy"] == pytest.approx(2 / 3)
    assert found["position"]["note"] == "always option 2, the best one in hindsight"
    assert found["longest"]["accuracy"] == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    assert found["shortest"]["accuracy"] == pytest.approx((0 + 0 + 1 / 2) / 3)
    assert result.judges == ()


def test_the_object_is_json_with_the_promised_keys() -> None:
    result = audited((question("1", ("only",), "only"), {"judge": verdict(True)}))
    read = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert {"dataset", "questions", "judges"} <= set(read)
    assert {"name", "n", "accuracy", "chance", "interval", "refused", "unparsed", "failed"} <= set(read["judges"][0])
    assert (read["dataset"], read["judges"][0]["chance"], read["judges"][0]["corrected"]) == ("mine", 1.0, None)


def test_a_set_without_options_has_no_baselines() -> None:
    assert audited((question("1", (), "3"), {})).baselines == ()
