from __future__ import annotations

from types import ModuleType

import pytest

from vidground_core.errors import ConfigError, EngineError
from vidground_core.runs.options import DetectorCounts, FinishedWithFailuresError, check_capabilities, check_failures, parse_max_failures

COUNTS = [DetectorCounts("a", "1", asked=90, reused=10, failed=3), DetectorCounts("b", "1", asked=100)]


@pytest.mark.parametrize("allowed", [3, 4, 0.015, 0.5])
def test_failures_within_the_limit_pass(allowed: float) -> None:
    check_failures(COUNTS, allowed)


@pytest.mark.parametrize("allowed", [0, 2, 0.014])
def test_failures_over_the_limit_are_told_with_the_counts(allowed: float) -> None:
    with pytest.raises(FinishedWithFailuresError) as caught:
        check_failures(COUNTS, allowed, "service unavailable")
    first, second = str(caught.value).splitlines()
    assert first == f"3 of 200 asks stayed failed, allowed: {allowed:g}; the last said: service unavailable"
    assert second == "everything else is stored; the same command asks only the failed ones again"
    assert caught.value.counts == COUNTS
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("25", 25), ("0.01", 0.01)])
def test_limits_are_counts_or_fractions(text: str, value: float) -> None:
    assert parse_max_failures(text) == value


@pytest.mark.parametrize("text", ["-1", "1.5", "many", "nan", "inf", ""])
def test_other_limits_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"max failures = .*: expected a count such as 25, or a fraction between 0 and 1 such as 0\.01"):
        parse_max_failures(text)


def test_an_engine_that_cannot_is_refused_by_name(drive: ModuleType) -> None:
    class Texts(drive.LogEngine):  # type: ignore[misc, name-defined]
        name, can = "texts", frozenset({"text"})

    with pytest.raises(EngineError) as caught:
        check_capabilities(drive.Plain(drive.PlainConfig()), Texts(drive.LogConfig()))
    assert str(caught.value) == "the detector 'plain' needs an engine with logprobs; the engine 'texts' has text"


def test_counts_are_plain_json() -> None:
    assert DetectorCounts("a", "1", asked=2).as_json() == {
        "name": "a",
        "version": "1",
        "asked": 2,
        "reused": 0,
        "refused": 0,
        "unparsed": 0,
        "failed": 0,
        "verdicts": 0,
        "media": 0,
        "prompt_tokens": 0,
        "generated_tokens": 0,
        "cost": 0.0,
        "postponed": 0,
    }
