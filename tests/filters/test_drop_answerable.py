from collections.abc import Mapping

import pytest

from vidground_core import ConfigError, Decision, Question, Verdict
from vidground_core.filters.drop_answerable import DropAnswerable, DropAnswerableConfig
from vidground_core.testing import FilterContract

QUESTION = Question("q", "?", "a", ("a", "b"))


class TestDropAnswerable(FilterContract):
    component = DropAnswerable


class TestWithOptions(FilterContract):
    component = DropAnswerable
    options = {"detectors": ["blind-vlm"], "threshold": 0.3}  # noqa: RUF012


def verdicts(**said: bool | None) -> Mapping[str, Verdict]:
    shortcut = {True: 0.75, False: 0.25, None: None}
    return {name: Verdict("q", name, "any", shortcut[answered], answered) for name, answered in said.items()}


def decide(said: Mapping[str, Verdict], **options: object) -> Decision:
    return DropAnswerable(DropAnswerableConfig.model_validate(options)).decide_row(QUESTION, said)


def test_what_a_detector_answers_is_dropped_with_its_name_and_numbers() -> None:
    decision = decide(verdicts(one=True, two=False))
    assert decision == Decision("q", False, "drop-answerable", "1", "answered blind by one", {"one": 0.75, "two": 0.25})


def test_what_nobody_answers_is_kept() -> None:
    decision = decide(verdicts(one=False, two=None))
    assert decision == Decision("q", True, "drop-answerable", "1", "kept", {"one": 0.25})


def test_a_question_without_a_verdict_is_kept_for_that_reason() -> None:
    decision = decide(verdicts(one=None))
    assert (decision.kept, decision.reason, decision.numbers) == (True, "no verdict: kept", {})


def test_only_the_named_detectors_count() -> None:
    decision = decide(verdicts(one=True, two=False), detectors=["two"])
    assert (decision.kept, decision.numbers) == (True, {"two": 0.25})


def test_several_judges_must_agree() -> None:
    assert decide(verdicts(one=True, two=False, three=None), judges=2).kept
    assert decide(verdicts(one=True, two=True, three=None), judges=2).reason == "answered blind by one, two"


def test_a_threshold_replaces_the_detector_s_rule() -> None:
    assert not decide(verdicts(one=False), threshold=0.2).kept
    assert decide(verdicts(one=False), threshold=0.25).kept
    assert decide(verdicts(one=True), threshold=0.8).kept


def test_a_detector_without_verdicts_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no verdicts of the detector 'blnd'; did you mean 'blind'\? there is: blind, other"):
        decide(verdicts(blind=True, other=True), detectors=["blnd"])


def test_more_judges_than_detectors_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"judges = 3, but there are verdicts of 2 detectors only \(one, two\); lower filter.judges"):
        decide(verdicts(one=True, two=True), judges=3)
