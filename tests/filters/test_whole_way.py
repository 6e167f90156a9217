"""From an engine without a model over a real detector to decisions: position locks and guesses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from vidground_core import Question
from vidground_core.config import build
from vidground_core.detectors.blind import BlindLLM
from vidground_core.filters.base import Judged, Judges
from vidground_core.filters.consensus import Consensus
from vidground_core.filters.drop_answerable import DropAnswerable
from vidground_core.filters.guess_corrected import GuessCorrected
from vidground_core.filters.luck import Counts, knowledge
from vidground_core.testing import FakeEngine, FakeEngineConfig, run_detector

Make = Callable[..., Any]
GUESSED = 1_200


def asked(engine: Mapping[str, Any], count: int, **options: Any) -> list[Judged]:
    questions = [Question(f"q{n}", f"What is in scene {n}?", "wxyz"[n % 4], ("w", "x", "y", "z"), group=f"v{n // 3}") for n in range(count)]
    detector = BlindLLM(build(BlindLLM.Config, options, "detector 'blind-llm'"))
    verdicts = run_detector(detector, questions, FakeEngine(FakeEngineConfig(**engine)))
    return [(question, {"blind-llm": verdict}) for question, verdict in zip(questions, verdicts, strict=True)]


@pytest.mark.parametrize("scoring", ["letters", "generate"])
@pytest.mark.parametrize(("rule", "kept"), [("any", False), ("all", True), ("mean", True), (2, True)])
def test_an_engine_that_always_says_a_is_ta_under_any_and_vg_under_all(decided: Make, scoring: str, rule: str | int, kept: bool) -> None:
    rows = asked({"favourite": "A"}, 20, rotations=4, rule=rule, scoring=scoring)
    assert {decision.kept for decision in decided(DropAnswerable, rows)} == {kept}
    assert all(decision.kept for decision in decided(GuessCorrected, rows))


@pytest.fixture(scope="module")
def guessed() -> list[Judged]:
    return asked({"seed": 4}, GUESSED, rotations=4, scoring="generate")


def dropped_share(decisions: list[Any]) -> float:
    return sum(not decision.kept for decision in decisions) / len(decisions)


@pytest.mark.parametrize(("rule", "share"), [("any", 1 - 0.75**4), ("all", 1 / 256), (2, 0.2617), ("judged", 0.0508)])
def test_an_engine_that_guesses_loses_the_stated_share_and_no_more(
    guessed: list[Judged], decided: Make, rule: str | int, share: float
) -> None:
    found = dropped_share(decided(Consensus, guessed, m=1, rule=rule))
    assert found == pytest.approx(share, abs=3.5 * (share * (1 - share) / GUESSED) ** 0.5)


def test_one_pass_of_a_guessing_engine_loses_one_in_k(decided: Make) -> None:
    rows = asked({"seed": 4}, GUESSED, rotations=1, scoring="generate")
    assert dropped_share(decided(DropAnswerable, rows)) == pytest.approx(1 / 4, abs=3.5 * (3 / 16 / GUESSED) ** 0.5)


def test_what_a_guessing_engine_drops_is_stated_as_luck(guessed: list[Judged], decided: Make) -> None:
    dropped = np.array([not decision.kept for decision in decided(Consensus, guessed, m=1, rule="any")])
    counts = Counts()
    for row in guessed:
        counts.add(*row)
    found = knowledge(counts, Judges(("blind-llm",)))
    assert not isinstance(found, str)
    assert found.errors(dropped, ~dropped).false_drops == pytest.approx(int(dropped.sum()), rel=0.02)
    assert all(decision.kept for decision in decided(GuessCorrected, guessed))
